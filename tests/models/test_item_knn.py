import numpy as np
import pytest
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.models import item_knn
from recsys_kedro.models.item_knn import CosineOptions, ItemKNN, ItemKNNOptions, cosine_neighbours

# Users take products 0 and 1, 0 and 1 and 2, 3.
TAKEN = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], np.float32))


def test_cosine_of_the_columns_without_the_product_itself():
    cosine = cosine_neighbours(TAKEN, CosineOptions(neighbours=None)).toarray()
    half = 1 / np.sqrt(2 * 1)
    expected = [[0, 2 / 2, half, 0], [2 / 2, 0, half, 0], [half, half, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosine, expected, rtol=1e-6)


def test_shrinkage_is_added_to_the_denominator():
    cosine = cosine_neighbours(TAKEN, CosineOptions(shrinkage=1)).toarray()
    assert cosine[0, 1] == pytest.approx(2 / (2 + 1))
    assert cosine[0, 2] == pytest.approx(1 / (np.sqrt(2) + 1))


def test_each_recommended_product_keeps_its_nearest():
    cosine = cosine_neighbours(TAKEN, CosineOptions(neighbours=1)).toarray()
    # Product 2 is as near to 0 as to 1: the smaller index stays.
    expected = [[0, 1, 1 / np.sqrt(2), 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosine, expected, rtol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    whole = cosine_neighbours(TAKEN, CosineOptions(neighbours=2)).toarray()
    monkeypatch.setattr(item_knn, "PRODUCTS_AT_ONCE", 2)
    np.testing.assert_array_equal(
        cosine_neighbours(TAKEN, CosineOptions(neighbours=2)).toarray(), whole
    )


def test_scores_add_up_neighbours_and_own_history(events, make_events, make_data, ask):
    options = ItemKNNOptions(half_life_days=10, own_weight=3, own_half_life_days=20)
    model = ItemKNN.fit(make_data(events), options, seed=0)
    asked = ask(make_events(("dan", "a", 20)), "dan")
    # In the order of the vocabulary: a, b, c, 🫖.
    near = 0.5**2
    expected = [[3 * 0.5**1, near / np.sqrt(2 * 1), 0, near * 2 / 2]]
    np.testing.assert_allclose(model.score_catalogue(asked), expected, rtol=1e-6)


def test_one_click_of_a_new_user_finds_neighbours(events, make_events, make_data, ask):
    model = ItemKNN.fit(make_data(events), ItemKNNOptions(), seed=0)
    asked = ask(make_events(("new", "🫖", 1, c.CLICK)), "new")
    found = model.recommend(asked, 2, exclude_seen=False)
    assert found[c.PRODUCT_ID].to_list() == ["🫖", "a"]
