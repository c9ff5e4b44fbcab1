import math

import polars as pl
import pytest
from scipy import stats

from recsys_kedro import columns as c
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ONE, ratio, ratio_difference


def rows(*triples):
    return pl.DataFrame(triples, [c.USER_ID, "a", "b"], orient="row")


A, B = pl.col("a"), pl.col("b")


def test_the_interval_is_over_users():
    """Ann has 1 of 2, ben 2 of 2: each is one observation, however many rows."""
    found = ratio("ctr", rows(("ann", 1, 1), ("ann", 0, 1), ("ben", 1, 1), ("ben", 1, 1)), A, B)
    value = 3 / 4
    residuals = [1 - value * 2, 2 - value * 2]
    variance = sum(r**2 for r in residuals) / (2 - 1) / 2 / 2**2
    half = stats.t.ppf(0.975, 2 - 1) * math.sqrt(variance)
    assert found == Figure(
        "ctr", "all", value, 4, max(value - half, 0), pytest.approx(value + half)
    )


def test_the_unit_is_scaled_with_its_interval():
    table = rows(("ann", 4, 1), ("ben", 5, 1))
    one = ratio("revenue_per_thousand_answers", table, A)
    thousand = ratio("revenue_per_thousand_answers", table, A, per=1_000)
    assert thousand.value == 4.5 * 1_000
    assert thousand.high == pytest.approx(one.high * 1_000)
    assert thousand.n == one.n == 2


def test_nothing_is_no_figure():
    assert ratio("ctr", rows().cast({c.USER_ID: pl.String}), A, B) == Figure("ctr", "all", None, 0)


@pytest.mark.parametrize("table", [rows(("ann", 1, 2)), rows(("ann", 1, 2), ("ben", 1, 2))])
def test_users_who_do_not_differ_have_no_interval(table):
    assert ratio("ctr", table, A, B)[4:] == (None, None)


def test_a_share_of_nothing_among_three_hundred_users_may_be_one_percent():
    none = rows(*((f"u{number}", 0, 1) for number in range(300)))
    assert ratio("ctr", none, A, B) == Figure("ctr", "all", 0, 300, 0, 3 / 300)
    assert ratio("revenue_per_thousand_answers", none, A, B)[4:] == (None, None)


def test_a_difference_of_ratios():
    table = pl.DataFrame(
        [("ann", 1, 1, 0, 1), ("ben", 3, 1, 1, 1)], [c.USER_ID, *"abcd"], orient="row"
    )
    found = ratio_difference("score_gain", table, (A, B), (pl.col("c"), pl.col("d")))
    value = (1 + 3) / 2 - (0 + 1) / 2
    differences = [1 - 0 - value, 3 - 1 - value]
    error = math.sqrt(sum(d**2 for d in differences) / (2 - 1) / 2)
    half = stats.t.ppf(0.975, 2 - 1) * error
    assert found.value == value
    assert (found.low, found.high) == pytest.approx((value - half, value + half))


def test_a_difference_needs_both_sides():
    found = ratio_difference("score_gain", rows(("ann", 1, 1)), (A, B), (A, ONE * 0))
    assert found == Figure("score_gain", "all", None, 0)
