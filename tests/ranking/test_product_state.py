import numpy as np
import pytest
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.ranking.product_state import UNKNOWN_AGE_DAYS, ProductState, product_state
from recsys_kedro.vocabulary import Vocabulary

PRODUCTS = Vocabulary.fit(["a", "b", "c", "d", "later"])
CATEGORIES = Vocabulary.fit(["lamps", "chairs"])  # chairs 0, lamps 1, none 2


@pytest.fixture
def state(make_features):
    features = make_features(
        ["d", "c", "b", "a", "unheard of"],
        **{
            f.PRODUCT_AGE_DAYS: [4, 3, None, 1, 0],
            f.CONVERSION_RATE: [0.5, 0.25, None, 1.0, 0.0],
            f.VIEWS_30D: [7, 3, 0, None, 9],
        },
    )
    return product_state(features, PRODUCTS, CATEGORIES)


def test_rows_follow_the_vocabulary(state):
    assert state.known.tolist() == [True, True, True, True, False]
    assert state.age_days.tolist() == [1, UNKNOWN_AGE_DAYS, 3, 4, UNKNOWN_AGE_DAYS]
    expected = [np.log(10), np.log(20), np.log(40), np.nan, np.nan]
    np.testing.assert_allclose(state.log_price, expected, rtol=1e-6)
    assert state.category.tolist() == [1, 1, 0, 2, 2]
    assert state.categories == 3
    expected = [np.log(2), 0, np.log(1.25), np.log(1.5), 0]
    np.testing.assert_allclose(state.conversion, expected, rtol=1e-6)
    np.testing.assert_allclose(state.numbers[:, 2], np.log([1, 1, 4, 8, 1]), rtol=1e-6)


def test_a_price_of_nothing_is_unknown(make_features):
    features = make_features(["a", "b"], **{c.PRICE: [0.0, 1.0]})
    state = product_state(features, Vocabulary.fit(["a", "b"]), CATEGORIES)
    np.testing.assert_array_equal(state.log_price, [np.nan, 0])


def test_share_is_that_of_the_category(state):
    weights = np.array([[1, 2, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 3, 0]], np.float32)
    expected = [[1 / 4, 3 / 4, 0], [0] * 3, [0, 0, 1]]
    np.testing.assert_allclose(state.category_share(sparse.csr_matrix(weights)), expected)


def test_no_products(make_features):
    state = product_state(make_features([]), Vocabulary.fit([]), CATEGORIES)
    assert state.categories == 0
    assert state.category_share(sparse.csr_matrix((2, 0), dtype=np.float32)).shape == (2, 0)


def test_save_and_load(state, tmp_path):
    state.save(tmp_path / "products.safetensors")
    loaded = ProductState.load(tmp_path / "products.safetensors")
    for name, value in vars(state).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
        assert getattr(loaded, name).dtype == value.dtype
