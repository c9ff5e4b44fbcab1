from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recsys_kedro.experiments.checks import Guardrail, check_guardrail, check_split
from recsys_kedro.experiments.effect_tables import MetricEffect
from recsys_kedro.experiments.effects import Estimate
from recsys_kedro.experiments.verdict import Action, Evidence, ExperimentPlan, give_verdict

ENDS = datetime(2025, 3, 31, tzinfo=UTC)
EARLY = ENDS - timedelta(days=9)
LATENCY = Guardrail(metric="latency", relative_margin=0.05)
BETTER, WORSE, UNSURE = (0.1, 0.02, 0.18), (-0.1, -0.18, -0.02), (0.03, -0.05, 0.1)
SAFE, OPEN, HARMED = (0.0, -0.01, 0.01), (0.03, -0.01, 0.07), (0.2, 0.15, 0.25)


def effect(relative, metric="revenue_per_user"):
    value, low, high = (2 * figure for figure in relative)
    return MetricEffect(
        metric, "new", 5_000, 5_100, 2 + value, 2, value, low, high, *relative, 0.01
    )


def verdict(lift, guardrail=SAFE, as_of=ENDS, looks="daily", units=(5_000, 5_100), **more):
    plan = ExperimentPlan(planned_units=10_000, looks=looks, guardrails=(LATENCY,))
    evidence = Evidence(
        split=check_split(dict(zip(("new", "old"), units, strict=True)), {"new": 1, "old": 1}),
        primary=effect(lift),
        guardrails=(check_guardrail(LATENCY, effect(guardrail, "latency")),),
        as_of=as_of,
        ends=ENDS,
    )
    return give_verdict(plan, replace(evidence, **more))


@pytest.mark.parametrize(
    ("primary", "guardrail", "as_of", "looks", "headline"),
    [
        (BETTER, SAFE, ENDS, "daily", "Ship: revenue per user got better (+10.0%, between +2.0%"),
        (BETTER, SAFE, EARLY, "daily", "Ship: revenue per user got better"),
        (BETTER, SAFE, EARLY, "once", "Keep running until 31 March 2025: it was planned"),
        (BETTER, OPEN, EARLY, "daily", "Keep running until 31 March 2025: mean latency in ms may"),
        (BETTER, OPEN, ENDS, "daily", "Do not ship: revenue per user got better (+10.0%, between"),
        (BETTER, HARMED, ENDS, "daily", "Do not ship: mean latency in ms got worse"),
        (BETTER, HARMED, EARLY, "once", "Do not ship: mean latency in ms got worse"),
        (WORSE, SAFE, EARLY, "daily", "Do not ship: revenue per user got worse (-10.0%"),
        (WORSE, OPEN, ENDS, "once", "Do not ship: revenue per user got worse"),
        (UNSURE, SAFE, EARLY, "daily", "Keep running until 31 March 2025: it could still be cha"),
        (UNSURE, SAFE, ENDS, "daily", "Do not ship: no difference in revenue per user was found"),
        (UNSURE, OPEN, ENDS, "once", "Do not ship: no difference in revenue per user was found"),
    ],
)
def test_the_decision(primary, guardrail, as_of, looks, headline):
    found = verdict(primary, guardrail, as_of, looks)
    assert found.headline.startswith(headline)
    assert found.headline.startswith(found.action)
    assert found.headline.endswith(".")


def test_a_broken_split_blocks_every_verdict():
    found = verdict(BETTER, units=(5_000, 5_500))
    assert found.action is Action.CANNOT_BE_JUDGED
    assert "split is broken" in found.headline
    assert "new 5,000 (47.6%, planned 50.0%)" in found.headline
    assert not [reason for reason in found.reasons if "10.0%" in reason], "no figure is shown"


def test_a_metric_of_which_less_is_better():
    plan = ExperimentPlan(primary="cart_abandonment", planned_units=10_000)
    split = check_split({"new": 10, "old": 10}, {"new": 1, "old": 1})
    for relative, action in ((WORSE, Action.SHIP), (BETTER, Action.DO_NOT_SHIP)):
        evidence = Evidence(split, effect(relative, "cart_abandonment"), (), ENDS, ENDS)
        assert give_verdict(plan, evidence).action is action


def test_what_it_rests_on():
    monthly = Estimate(*map(np.array, (5_000.0, 1_000.0, 3_040.0, 6_960.0)))
    late = effect((-0.5, -0.9, -0.1))
    reasons = verdict(BETTER, monthly=monthly, wearing_off=late).reasons
    assert [reason.split(":")[0].split(",")[0].split(" (")[0] for reason in reasons] == [
        "revenue per user",
        "Shipped to all users that is +5",
        "mean latency in ms",
        "The effect shrinks as users get used to it",
        "The split is as planned. Users",
        "The intervals hold however often one looks",
    ]
    assert (
        "2.20 against 2.00, +10.0%, between +2.0% and +18.0%, 10,100 users of 10,000 planned"
        in reasons[0]
    )
    assert "(+3,040 to +6,960)" in reasons[1]


@pytest.mark.parametrize(
    ("primary", "late_minus_early", "said"),
    [
        (BETTER, (-0.5, -0.9, -0.1), "shrinks"),
        (BETTER, (0.5, 0.1, 0.9), "grows"),
        (WORSE, (0.5, 0.1, 0.9), "shrinks"),
        (BETTER, (0.1, -0.1, 0.3), "No sign"),
        (BETTER, (np.nan, np.nan, np.nan), "No sign"),
    ],
)
def test_novelty(primary, late_minus_early, said):
    reasons = verdict(primary, wearing_off=effect(late_minus_early)).reasons
    assert sum(said in reason for reason in reasons) == 1


def test_a_lift_that_is_not_known_is_told_in_the_metrics_unit():
    unbounded = replace(effect(BETTER), relative_low=-np.inf, relative_high=np.inf)
    found = verdict(BETTER, primary=unbounded)
    assert "(+0.2, between +0.04 and +0.36)" in found.headline


def test_a_stricter_interval_is_told_as_such():
    plan = ExperimentPlan(planned_units=10_000, confidence=0.975)
    evidence = Evidence(
        check_split({"new": 10, "old": 10}, {"new": 1, "old": 1}), effect(BETTER), (), ENDS, ENDS
    )
    assert "misses the truth in 2.5% of experiments" in give_verdict(plan, evidence).reasons[0]


def test_coverage_decides_nothing():
    with pytest.raises(ValueError, match="coverage is of many lists, no user has it"):
        ExperimentPlan(primary="coverage", planned_units=1)


def test_the_plan_names_a_metric():
    with pytest.raises(ValueError, match="no metric 'money'"):
        ExperimentPlan(primary="money", planned_units=1)
