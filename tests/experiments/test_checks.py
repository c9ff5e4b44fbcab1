import numpy as np
import pytest
from scipy import stats

from recsys_kedro.experiments.checks import (
    Guardrail,
    Harm,
    check_guardrail,
    check_split,
    split_p_values,
)
from recsys_kedro.experiments.effect_tables import MetricEffect


def effect(metric, relative=(0.0, -0.1, 0.1), difference=(0.0, -0.1, 0.1)):
    return MetricEffect(metric, "new", 10, 10, 1, 1, *difference, *relative, 0.5)


def test_the_split_is_compared_with_the_weights():
    check = check_split({"a": 520, "b": 480}, {"a": 3, "b": 3})
    assert check.p_value == pytest.approx(stats.chisquare([520, 480]).pvalue)
    assert check.shares == {"a": 0.5, "b": 0.5}
    assert not check.broken


def test_a_broken_split():
    assert check_split({"a": 5_200, "b": 4_800}, {"a": 1, "b": 1}).broken
    assert not check_split({"a": 5_200, "b": 4_800}, {"a": 52, "b": 48}).broken


def test_a_variant_without_any_unit_is_missing():
    check = check_split({"a": 50}, {"a": 1, "b": 1})
    assert check.units == {"a": 50, "b": 0}
    assert check.broken


def test_a_variant_that_nobody_declared():
    with pytest.raises(ValueError, match=r"variants \['c'\] are in the log and not declared: a, b"):
        check_split({"a": 1, "c": 1}, {"a": 1, "b": 1})


def test_no_units_at_all_is_no_broken_split():
    assert not check_split({}, {"a": 1, "b": 1}).broken


def test_a_right_split_is_let_through_and_a_loss_is_caught():
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.5])
    right = rng.multinomial(20_000, shares, 2_000)
    assert (split_p_values(right.astype(float), shares) < 0.001).mean() < 0.004
    lost = right - np.stack([np.zeros(2_000, int), rng.binomial(right[:, 1], 0.08)], axis=1)
    assert (split_p_values(lost.astype(float), shares) < 0.001).mean() > 0.98


@pytest.mark.parametrize(
    ("relative", "harm"),
    [
        ((0.0, -0.01, 0.01), Harm.NONE),
        ((0.0, -0.01, 0.03), Harm.POSSIBLE),
        ((0.04, 0.01, 0.06), Harm.POSSIBLE),
        ((0.04, 0.03, 0.06), Harm.CERTAIN),
        ((np.nan, np.nan, np.nan), Harm.POSSIBLE),
    ],
)
def test_a_guardrail_of_which_less_is_better(relative, harm):
    guardrail = Guardrail(metric="latency", relative_margin=0.02)
    check = check_guardrail(guardrail, effect("latency", relative=relative))
    assert check.harm is harm
    assert (check.low, check.high) == pytest.approx(relative[1:], nan_ok=True)


def test_a_guardrail_of_which_more_is_better():
    guardrail = Guardrail(metric="coverage", absolute_margin=0.05)
    check = check_guardrail(guardrail, effect("coverage", difference=(-0.2, -0.3, -0.1)))
    assert (check.harm, check.worse, check.low, check.high) == (Harm.CERTAIN, 0.2, 0.1, 0.3)
    better = check_guardrail(guardrail, effect("coverage", difference=(0.2, 0.1, 0.3)))
    assert better.harm is Harm.NONE


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"metric": "latency"}, "latency: set one of"),
        ({"metric": "latency", "relative_margin": 0, "absolute_margin": 0}, "latency: set one of"),
        ({"metric": "speed", "relative_margin": 0}, "no metric 'speed'"),
    ],
)
def test_a_guardrail_is_complete(options, fault):
    with pytest.raises(ValueError, match=fault):
        Guardrail(**options)
