import numpy as np
import pytest
from scipy import sparse

from recsys_kedro.models.ials import FEW_USERS, IALS, Factorisation, FactorOptions, IALSOptions


def test_the_user_vector_is_the_least_squares_answer_to_the_history(
    events, make_events, make_data, ask
):
    options = IALSOptions(factors=1, regularization=1, alpha=3, own_weight=0, half_life_days=10)
    model = IALS.fit(make_data(events), options, seed=0)
    factors = np.array([[1], [2], [0], [0]], np.float32)
    model.factorisation = Factorisation(factors, options)
    asked = ask(make_events(("dan", "a", 10)), "dan")
    confidence = 1 + 3 * 0.5**1
    user = confidence * 1 / ((1 * 1 + 2 * 2) + (confidence - 1) * 1 + 1)
    np.testing.assert_allclose(model.score_catalogue(asked), [[user, 2 * user, 0, 0]], rtol=1e-5)


def test_fit_is_quiet_and_follows_the_seed(events, make_data, capfd):
    data, options = make_data(events), IALSOptions(factors=2)
    first, same, other = (
        IALS.fit(data, options, seed).factorisation.product_factors for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert "".join(capfd.readouterr()) == ""


def test_products_of_the_same_users_lie_near(events, make_events, make_data, ask):
    model = IALS.fit(make_data(events), IALSOptions(factors=2, own_weight=0), seed=0)
    asked = ask(make_events(("dan", "🫖", 1)), "dan")
    a, _, c, _ = model.score_catalogue(asked)[0]
    assert a > c


def test_few_users_and_many_get_the_same_scores():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(500, 16)).astype(np.float32)
    factorisation = Factorisation(factors, FactorOptions(factors=16))
    shape = (FEW_USERS + 1, 500)
    history = sparse.csr_matrix(sparse.random_array(shape, density=0.02, rng=rng, dtype=np.float32))
    many = factorisation.scores(history)
    few = factorisation.scores(history[:FEW_USERS])
    assert few.flags.c_contiguous
    assert few.any(axis=1).all()
    np.testing.assert_allclose(few, many[:FEW_USERS], rtol=1e-5, atol=1e-6)


def test_options_have_bounds():
    with pytest.raises(ValueError, match="factors"):
        IALSOptions(factors=0)


@pytest.mark.parametrize("count", [0, 1, 90, 20_000])
@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_the_highest_are_found_without_all_scores(count, spread):
    rng = np.random.default_rng(3)
    size = (6_000, 8)
    factors = rng.normal(size=size) * np.exp(spread * rng.normal(size=(size[0], 1)))
    factorisation = Factorisation(factors.astype(np.float32), FactorOptions(factors=8))
    for user in rng.normal(size=(5, 8)).astype(np.float32):
        score = factorisation.scores_of(user[None])[0]
        product, found = factorisation.highest(user, count)
        assert set(product.tolist()) == set(np.argsort(-score)[:count].tolist())
        np.testing.assert_allclose(found, score[product], rtol=1e-4, atol=1e-6)


class Watched:
    """An array that counts the rows that are asked for."""

    def __init__(self, array):
        self.array, self.rows = array, 0

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)

    def __getitem__(self, rows):
        self.rows += len(rows)
        return self.array[rows]


def test_of_rarely_taken_products_the_highest_asks_only_a_few():
    rng = np.random.default_rng(4)
    length = np.where(np.arange(52_000) < 2_000, 1, 1e-3)
    factors = Watched((rng.normal(size=(52_000, 4)) * length[:, None]).astype(np.float32))
    factorisation = Factorisation(factors, FactorOptions(factors=4))
    product, _ = factorisation.highest(factors.array[0], 100)
    assert product.max() < 2_000
    assert factors.rows < 8_000


def test_who_has_no_vector_gets_any_products():
    factorisation = Factorisation(np.ones((9, 2), np.float32), FactorOptions(factors=2))
    product, score = factorisation.highest(np.zeros(2, np.float32), 3)
    assert len(set(product.tolist())) == 3
    assert not score.any()
