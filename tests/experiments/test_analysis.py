import re
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.analysis import AnalysisOptions, analyse
from recsys_kedro.experiments.corrections import holm
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.experiments.effects import DAYS_PER_MONTH
from recsys_kedro.experiments.log import Log
from recsys_kedro.experiments.unit_metrics import METRICS
from recsys_kedro.experiments.verdict import Action, ExperimentPlan

PRODUCTS = pl.LazyFrame({c.PRODUCT_ID: ["p", "q"], c.PRICE: [7.0, None]})
OLD, NEW = {c.USER_ID: "ann", c.VARIANT: "old"}, {c.USER_ID: "ben", c.VARIANT: "new"}
PLAN = ExperimentPlan(planned_units=4, looks="once")


def declare(scope, *treatments, share=0.0, buckets=(0.0, 1.0), weights=None):
    variants = {name: {"weight": (weights or {}).get(name, 1)} for name in ("old", *treatments)}
    period = {"start": scope.start, "end": scope.end}
    experiment = {**period, "control": "old", "variants": variants, "buckets": buckets}
    layer = {"experiments": {scope.experiment: experiment}}
    return Experiments.model_validate({"holdout": {"share": share}, "layers": {"layer": layer}})


@pytest.fixture
def judge(scope, make_events):
    """The result of a log; as of the end unless ``as_of`` says so."""

    def result(impressions, events=None, plan=PLAN, experiments=None, as_of=scope.end, **options):
        log = Log(impressions, make_events() if events is None else events, PRODUCTS)
        declared = experiments or declare(scope, "new")
        chosen = AnalysisOptions(**options)
        return analyse(log, declared, scope.experiment, plan, chosen, as_of)

    return result


@pytest.fixture
def pairs(make_impressions):
    """Two users of each variant, one answer each."""
    users = {"ann": "old", "ada": "old", "ben": "new", "bob": "new"}
    return make_impressions(
        *(
            {c.USER_ID: user, c.VARIANT: variant, c.RECOMMENDATION_ID: f"r{user}"}
            for user, variant in users.items()
        )
    )


def observed(result, metric, variant="new"):
    effect = result.comparisons[variant].metrics[metric]
    return effect.observed_control, effect.observed_treatment


def test_click_through_rate_of_three_rows_and_one(make_impressions, make_events, judge):
    shown = make_impressions(
        OLD,
        {**OLD, c.POSITION: 2, c.PRODUCT_ID: "q"},
        {**OLD, c.RECOMMENDATION_ID: "r2", "at": 2},
        {**NEW, c.RECOMMENDATION_ID: "r3"},
    )
    events = make_events(
        {c.USER_ID: "ann", "at": 1}, {c.USER_ID: "ben", "at": 1, c.RECOMMENDATION_ID: "r3"}
    )
    result = judge(shown, events)
    assert observed(result, "ctr") == (1 / 3, 1 / 1)
    first, *_ = result.comparisons["new"].positions
    assert (first.group, first.control, first.treatment) == (1, 1 / 2, 1 / 1)


def test_a_purchase_without_a_price_has_that_of_the_product_or_is_counted(
    pairs, make_events, judge
):
    bought = {c.EVENT_TYPE: c.PURCHASE, "at": 1}
    events = make_events(
        {**bought, c.USER_ID: "ann", c.QUANTITY: 2.0},
        {**bought, c.USER_ID: "ada", c.PRICE: 5.0},
        {**bought, c.USER_ID: "ben", c.PRODUCT_ID: "q"},
    )
    result = judge(pairs, events)
    assert observed(result, "revenue_per_user") == ((2 * 7 + 5) / 2, 0)
    assert observed(result, "recommended_revenue") == ((2 * 7 + 5) / 2, 0)
    assert (result.purchases, result.unpriced_purchases) == (3, 1)


@pytest.mark.parametrize(("as_of_hours", "revenue"), [(240, 1 + 2), (300, 1 + 2), (100, 1)])
def test_what_comes_after_the_end_or_the_time_of_the_report_does_not_count(
    pairs, make_events, scope, judge, as_of_hours, revenue
):
    bought = {c.EVENT_TYPE: c.PURCHASE, c.USER_ID: "ann"}
    events = make_events(
        {**bought, "at": 99, c.PRICE: 1.0},
        {**bought, "at": 239, c.PRICE: 2.0},
        {**bought, "at": 240, c.PRICE: 4.0},
    )
    as_of, options = scope.start + timedelta(hours=as_of_hours), {"window_hours": 999}
    result = judge(pairs, events, as_of=as_of, attribution=options)
    assert observed(result, "revenue_per_user")[0] == revenue / 2
    assert observed(result, "recommended_revenue")[0] == revenue / 2


def test_only_users_whom_chance_put_into_the_experiment_count(make_impressions, judge):
    outside = {c.EXPERIMENT: None, c.VARIANT: None}
    shown = make_impressions(OLD, NEW, {c.USER_ID: "holdout or forced", **outside})
    result = judge(shown)
    assert result.split.units == {"old": 1, "new": 1}


def test_who_saw_two_variants_is_counted_and_left_out(make_impressions, judge):
    shown = make_impressions(OLD, NEW, {**OLD, c.USER_ID: "cat"}, {**NEW, c.USER_ID: "cat"})
    result = judge(shown)
    assert result.crossovers == 1
    assert result.split.units == {"old": 1, "new": 1}


def test_the_split_is_checked_against_the_declared_weights(make_impressions, scope, judge):
    users = [{**OLD, c.USER_ID: f"a{n}"} for n in range(90)]
    users += [{**NEW, c.USER_ID: f"b{n}"} for n in range(30)]
    shown = make_impressions(*users)
    as_declared = declare(scope, "new", weights={"old": 3})
    assert not judge(shown, experiments=as_declared).split.broken
    result = judge(shown, experiments=declare(scope, "new"))
    assert result.verdicts["new"].action is Action.CANNOT_BE_JUDGED
    assert "split is broken" in result.verdicts["new"].headline
    without_plan = judge(shown, plan=None, experiments=declare(scope, "new"))
    assert "split is broken" in without_plan.verdicts["new"].headline


def test_without_a_plan_there_are_figures_and_no_verdict(pairs, judge):
    result = judge(pairs, plan=None)
    verdict = result.verdicts["new"]
    assert verdict.headline == "Cannot be judged: no plan was made beforehand."
    assert result.comparisons["new"].metrics["ctr"].control == 0
    assert result.plan is None


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], r"no impression of 'test' was logged .* between 3 March 2025 and 13 March 2025"),
        ([{**OLD, "at": -1}, {**NEW, "at": 240}], "no impression of 'test' was logged"),
        ([OLD, {**OLD, c.VARIANT: "new"}], "1 users saw several variants"),
        ([OLD], "no user of new is in the log"),
        ([NEW], "no user of old is in the log"),
        ([OLD, NEW, {c.USER_ID: "cat", c.VARIANT: "odd"}], "not declared: odd"),
    ],
)
def test_where_nothing_compares_it_says_why(make_impressions, judge, rows, why):
    result = judge(make_impressions(*rows))
    verdict = result.verdicts["new"]
    assert verdict.action is Action.CANNOT_BE_JUDGED
    assert result.comparisons == {}
    assert re.search(why, verdict.headline)


def test_an_experiment_that_has_not_begun(pairs, scope, judge):
    result = judge(pairs, as_of=scope.start)
    assert "begins on 3 March 2025 at 00:00, and the log ends before" in (
        result.verdicts["new"].headline
    )


def test_several_treatments_are_judged_with_stricter_intervals(
    make_impressions, make_events, scope, judge
):
    rng = np.random.default_rng(0)
    who = [{c.USER_ID: f"{'0bc'[n % 3]}{n}", c.RECOMMENDATION_ID: f"r{n}"} for n in range(90)]
    shown = make_impressions(
        *({**w, c.VARIANT: ("old", "b", "c")[n % 3]} for n, w in enumerate(who))
    )
    events = make_events(
        *(
            {**who[n], c.EVENT_TYPE: c.PURCHASE, c.PRICE: rng.lognormal(), "at": 1}
            for n in rng.choice(90, 40, replace=False)
        )
    )
    without_c = shown.filter(~pl.col(c.USER_ID).str.starts_with("c"))
    one = judge(without_c, events, experiments=declare(scope, "b"))
    two = judge(shown, events, experiments=declare(scope, "b", "c"))
    assert (one.confidence, two.confidence) == (0.95, 1 - (1 - 0.95) / 2)
    narrow, wide = (result.comparisons["b"].metrics["revenue_per_user"] for result in (one, two))
    assert narrow.difference.value == pytest.approx(wide.difference.value)
    assert narrow.difference.high < wide.difference.high
    effects = [
        two.comparisons[variant].metrics[metric.name]
        for variant in ("b", "c")
        for metric in METRICS
        if metric.name != "revenue_per_user"
    ]
    p_values = np.array([np.nan if e.p_value is None else e.p_value for e in effects])
    found = [np.nan if e.p_holm is None else e.p_holm for e in effects]
    assert found == pytest.approx(holm(p_values), nan_ok=True)
    assert wide.p_holm is None, "the primary metric is decided by its interval"


def test_a_month_of_all_users(pairs, make_events, scope, judge):
    events = make_events(
        {c.USER_ID: "ben", c.EVENT_TYPE: c.PURCHASE, c.PRICE: 6.0, "at": 1},
        {c.USER_ID: "ann", c.EVENT_TYPE: c.PURCHASE, c.PRICE: 2.0, "at": 1},
    )
    half = declare(scope, "new", share=0.2, buckets=(0.0, 0.5))
    monthly = judge(pairs, events, experiments=half).comparisons["new"].monthly_revenue
    per_user, users, days, traffic = 6 / 2 - 2 / 2, 4, 10, 0.5 * (1 - 0.2)
    assert monthly.value == pytest.approx(per_user * users / traffic * DAYS_PER_MONTH / days)


def test_days_have_always_valid_intervals_also_where_the_end_alone_decides(
    pairs, make_events, judge
):
    events = make_events({c.USER_ID: "ben", c.EVENT_TYPE: c.PURCHASE, c.PRICE: 6.0, "at": 1})
    comparison = judge(pairs, events).comparisons["new"]
    whole, (day, *_) = comparison.metrics["revenue_per_user"], comparison.days
    assert day.difference.value == whole.difference.value == 6 / 2
    assert whole.difference.low is not None
    assert day.difference.low is None, "four users are too few for any"


def test_coverage_is_of_batches_of_users(pairs, judge):
    result = judge(pairs, coverage_batch_users=1)
    assert observed(result, "coverage") == (1 / 2, 1 / 2), "p of p and q"
    too_few = judge(pairs, coverage_batch_users=3)
    assert "coverage" not in too_few.comparisons["new"].metrics


def test_a_guardrail_that_the_log_says_nothing_of_is_uncertain(pairs, judge):
    guardrails = ({"metric": "coverage", "relative_margin": 0.1},)
    plan = ExperimentPlan(planned_units=4, looks="once", guardrails=guardrails)
    (guardrail,) = judge(pairs, plan=plan, coverage_batch_users=3).comparisons["new"].guardrails
    assert guardrail.harm == "uncertain"
    assert guardrail.worse.value is None


def test_the_order_of_the_log_does_not_matter(pairs, make_events, judge):
    events = make_events({c.USER_ID: "ann", "at": 1}, {c.USER_ID: "ben", "at": 3})
    again = judge(pairs.reverse(), events.reverse())
    assert again == judge(pairs, events)
