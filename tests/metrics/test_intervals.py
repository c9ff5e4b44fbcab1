from math import isnan, nan

import numpy as np
import pytest

from recsys_kedro.metrics.intervals import bootstrap_intervals, paired_interval


def test_the_value_is_the_mean_of_each_column():
    intervals = bootstrap_intervals(np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 4.0]]), seed=1)
    assert [interval.value for interval in intervals] == pytest.approx([2 / 3, 6 / 3])


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    differences = np.random.default_rng(0).normal(size=200)
    assert paired_interval(differences, seed=1) == paired_interval(differences, seed=1)
    assert paired_interval(differences, seed=1) != paired_interval(differences, seed=2)


def test_the_interval_has_the_width_of_the_normal_approximation():
    differences = np.random.default_rng(0).normal(loc=1.0, scale=2.0, size=1_000)
    interval = paired_interval(differences, seed=0, resamples=4_000)
    half = 1.96 * differences.std() / np.sqrt(1_000)
    assert interval.low == pytest.approx(interval.value - half, abs=0.1 * half)
    assert interval.high == pytest.approx(interval.value + half, abs=0.1 * half)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(3)
    samples = generator.exponential(size=(200, 100))
    covered = [
        interval.low <= 1.0 <= interval.high
        for interval in (paired_interval(sample, seed=5, resamples=200) for sample in samples)
    ]
    assert 0.87 < np.mean(covered) < 0.99


def test_more_confidence_is_a_wider_interval():
    differences = np.random.default_rng(0).normal(size=100)
    wide = paired_interval(differences, seed=0, confidence=0.99)
    narrow = paired_interval(differences, seed=0, confidence=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_pairing_sees_what_two_intervals_do_not():
    generator = np.random.default_rng(0)
    difficulty = generator.uniform(size=400)
    better, worse = difficulty + 0.02, difficulty + generator.normal(scale=0.01, size=400)
    separate = bootstrap_intervals(np.column_stack([better, worse]), seed=0)
    assert separate[0].low < separate[1].high
    assert paired_interval(better - worse, seed=0).low > 0


def test_users_to_whom_a_figure_does_not_apply_are_left_out():
    (interval,) = bootstrap_intervals(np.array([[1.0], [nan], [3.0]]), seed=0)
    assert interval.value == (1.0 + 3.0) / 2
    assert interval.low >= 1.0
    assert interval.high <= 3.0


@pytest.mark.parametrize("values", [np.empty((0, 1)), np.full((3, 1), nan)])
def test_a_figure_of_nobody_is_nan(values):
    (interval,) = bootstrap_intervals(values, seed=0)
    assert all(isnan(bound) for bound in interval)


def test_blocks_of_resamples_do_not_change_the_number_of_draws(monkeypatch):
    differences = np.random.default_rng(0).normal(size=50)
    whole = paired_interval(differences, seed=1, resamples=500)
    monkeypatch.setattr("recsys_kedro.metrics.intervals._BLOCK_CELLS", 60 * 50)
    assert paired_interval(differences, seed=1, resamples=500) == pytest.approx(whole)
