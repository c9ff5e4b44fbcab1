from math import log

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.monitoring.stability import MOST_VALUES, Bins, Distribution, stability_index


def psi(reference, window):
    return Distribution.of(reference).change_to(window)


def test_by_hand():
    """Half an observation is added to each bin."""
    r, a = 2.5 / 4, 1.5 / 4
    expected = (a - r) * log(a / r) + (r - a) * log((1 - a) / (1 - r))
    assert stability_index(np.array([2, 1]), np.array([1, 2])) == pytest.approx(expected)
    assert psi(pl.Series(["x", "x", "y"]), pl.Series(["x", "y", "y"])) == pytest.approx(expected)


def test_bins_that_nobody_has_do_not_count():
    full = stability_index(np.array([5, 5]), np.array([2, 8]))
    assert stability_index(np.array([5, 0, 5]), np.array([2, 0, 8])) == full


def test_deciles_of_the_reference():
    bins = Bins.of(pl.Series(range(1, 101)))
    assert bins.counts(pl.Series(range(1, 101))).tolist() == [0] + [10] * 10 + [0]
    assert bins.counts(pl.Series([-5, 1_000, None])).tolist() == [1] + [0] * 9 + [1, 1]


def test_many_equal_numbers_are_one_bin():
    bins = Bins.of(pl.Series([0.0] * 60 + [1.0] * 40))
    assert bins.counts(pl.Series([-1.0, 0.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [1, 2, 2, 1, 0]


def test_rare_values_and_new_ones_share_a_bin():
    names = [f"v{number:02}" for number in range(MOST_VALUES + 1)]
    counts = Bins.of(pl.Series(names)).counts(pl.Series([names[-1], "new", names[0], None]))
    assert counts.tolist() == [1] + [0] * (MOST_VALUES - 1) + [2, 1]


def test_values_that_go_missing_are_a_change():
    known, gone = pl.Series([1.0] * 100), pl.Series([None] * 100, dtype=pl.Float64)
    assert psi(known, gone) > 1
    assert psi(gone, known) > 1
    assert psi(gone, gone) == 0


def test_a_truth_value_is_a_category():
    assert psi(pl.Series([True] * 50 + [False] * 50), pl.Series([True] * 100)) > 0.25


numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=40)


@given(reference=numbers, window=numbers)
def test_it_is_never_negative_and_the_same_is_no_change(reference, window):
    reference, window = pl.Series(reference), pl.Series(window)
    assert psi(reference, window) >= 0
    assert psi(reference, reference) == 0


def test_chance_is_as_the_formula_says():
    rng = np.random.default_rng(0)
    values = [
        psi(pl.Series(rng.normal(size=2_000)), pl.Series(rng.normal(size=1_000)))
        for _ in range(200)
    ]
    assert np.mean(values) == pytest.approx((10 - 1) * (1 / 1_000 + 1 / 2_000), rel=0.1)
