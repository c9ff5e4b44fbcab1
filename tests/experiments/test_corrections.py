import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.experiments.corrections import benjamini_hochberg, holm

P_VALUES = np.array([0.01, 0.04, 0.03, 0.5])


def test_holm():
    expected = [4 * 0.01, max(3 * 0.03, 2 * 0.04), 3 * 0.03, max(1 * 0.5, 3 * 0.03)]
    assert holm(P_VALUES) == pytest.approx(expected)


def test_benjamini_hochberg():
    third = 4 / 3 * 0.04
    assert benjamini_hochberg(P_VALUES) == pytest.approx([4 * 0.01, third, third, 0.5])


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_what_is_not_known_stays_so_and_does_not_count(correct):
    with_nan = np.insert(P_VALUES, 1, np.nan)
    found = correct(with_nan)
    assert np.isnan(found[1])
    assert np.delete(found, 1) == pytest.approx(correct(P_VALUES))
    assert np.isnan(correct(np.array([np.nan]))).all()
    assert correct(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_stricter_and_neither_goes_below_the_raw_one(p_values):
    raw = np.array(p_values)
    slack = 1e-12
    assert (raw <= benjamini_hochberg(raw) + slack).all()
    assert (benjamini_hochberg(raw) <= holm(raw) + slack).all()
    assert (holm(raw) <= 1).all()


def test_one_metric_needs_no_correction():
    assert holm(np.array([0.04])) == benjamini_hochberg(np.array([0.04])) == 0.04


def test_many_metrics_without_an_effect():
    p_values = np.random.default_rng(0).random((2_000, 13))
    alarms = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert alarms == pytest.approx(0.05, abs=0.015)
