import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recsys_kedro.sampling import (
    NO_PRODUCT,
    NegativeKind,
    NegativeOptions,
    draw_negatives,
    draw_probabilities,
    log_expected_count,
)

NOBODY = (np.zeros(0, np.int64), np.zeros(0, np.int64))
POPULARITY = np.array([8.0, 3.0, 0.0, 0.0])


def draw(taken, size, probabilities, seed=0):
    return draw_negatives(taken, size, probabilities, np.random.default_rng(seed))


def test_probabilities_by_popularity():
    options = NegativeOptions(popularity_exponent=0.5)
    total = 9**0.5 + 4**0.5 + 1 + 1
    expected = [9**0.5 / total, 4**0.5 / total, 1 / total, 1 / total]
    np.testing.assert_allclose(draw_probabilities(POPULARITY, options), expected)


def test_exponent_0_is_uniform():
    by_exponent = draw_probabilities(POPULARITY, NegativeOptions(popularity_exponent=0))
    uniform = draw_probabilities(POPULARITY, NegativeOptions(kind=NegativeKind.UNIFORM))
    np.testing.assert_array_equal(by_exponent, [1 / 4] * 4)
    np.testing.assert_array_equal(uniform, [1 / 4] * 4)


@pytest.mark.parametrize("exponent", [0, 0.75])
def test_draws_follow_the_probabilities(exponent):
    probabilities = draw_probabilities(
        np.arange(20.0), NegativeOptions(popularity_exponent=exponent)
    )
    drawn = draw(NOBODY, (400, 50), probabilities)
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert stats.chisquare(counts, probabilities * drawn.size).pvalue > 1e-4


def test_the_rest_follows_the_probabilities_where_some_were_taken():
    probabilities = np.array([0.9, 0.05, 0.03, 0.02])
    rows = np.arange(3_000)
    drawn = draw((rows, np.zeros_like(rows)), (3_000, 4), probabilities)
    counts = np.bincount(drawn.ravel(), minlength=4)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:], drawn.size * probabilities[1:] / 0.1).pvalue > 1e-4


@given(taken=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)), data=st.data())
def test_never_a_product_that_the_user_has_taken(taken, data):
    queries, products = taken.shape
    popularity = data.draw(hnp.arrays(np.float64, products, elements=st.floats(0, 1e6)))
    probabilities = draw_probabilities(popularity, NegativeOptions())
    draws = data.draw(st.integers(0, 5))
    drawn = draw(np.nonzero(taken), (queries, draws), probabilities, data.draw(st.integers(0, 9)))
    assert drawn.shape == (queries, draws)
    for mine, row in zip(taken, drawn, strict=True):
        wanted = {NO_PRODUCT} if mine.all() else set(np.flatnonzero(~mine).tolist())
        assert set(row.tolist()) <= wanted


def test_who_took_all_but_one_gets_that_one():
    products = 5_000
    taken = np.delete(np.arange(products), 1_234)
    drawn = draw((np.ones_like(taken), taken), (2, 3), np.full(products, 1 / products))
    assert drawn[1].tolist() == [1_234] * 3
    assert (drawn[0] >= 0).all()


def test_who_took_everything_gets_nothing():
    drawn = draw((np.zeros(3, np.int64), np.arange(3)), (2, 4), np.full(3, 1 / 3))
    assert drawn[0].tolist() == [NO_PRODUCT] * 4
    assert (drawn[1] >= 0).all()


def test_what_has_no_probability_is_never_drawn():
    drawn = draw((np.array([0]), np.array([1])), (2, 200), np.array([0.0, 0.5, 0.5, 0.0]))
    assert set(drawn[0].tolist()) == {2}
    assert set(drawn[1].tolist()) == {1, 2}


def test_who_took_all_that_can_be_drawn_gets_nothing():
    drawn = draw((np.array([0, 0]), np.array([1, 2])), (1, 2), np.array([0.0, 0.5, 0.5, 0.0]))
    assert drawn.tolist() == [[NO_PRODUCT, NO_PRODUCT]]


def test_the_same_seed_gives_the_same_draws():
    probabilities = np.full(100, 1 / 100)
    first, again, other = (draw(NOBODY, (5, 5), probabilities, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_expected_counts():
    expected = np.log([200 * 0.5, 200 * 0.25, 1e-12])
    counts = log_expected_count(np.array([0.5, 0.25, 0.0]), 200)
    np.testing.assert_allclose(counts, expected, rtol=1e-6)
