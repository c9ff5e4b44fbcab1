"""One experiment, from the log to a verdict.

The order is that of trust: is there anything to compare, is the split as planned, and only then
what the figures say. All effects are adjusted for what users did before (CUPED). With several
treatments each interval is stricter (Bonferroni), so that the chance to ship one that does
nothing stays that of the plan. Secondary metrics only suggest what to look at next: their
p-values are corrected over all of them and all treatments by Holm, which holds however the
metrics of one log depend on each other, as Benjamini and Hochberg's correction does not.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.attribution import AttributionOptions
from recsys_kedro.experiments.breakdowns import (
    Comparing,
    Segmentation,
    effect_by_age,
    effect_by_day,
    effect_by_position,
    effect_by_segment,
    late_minus_early,
)
from recsys_kedro.experiments.checks import (
    SplitCheck,
    check_guardrail,
    check_split,
)
from recsys_kedro.experiments.coverage import coverage_totals
from recsys_kedro.experiments.declarations import Experiment, Experiments
from recsys_kedro.experiments.effect_tables import MetricEffect, effects_of, with_corrections
from recsys_kedro.experiments.effects import Estimate, monthly_effect
from recsys_kedro.experiments.exposures import Scope, crossovers, exposed_units, of_experiment
from recsys_kedro.experiments.log import Log, attributed, part_of, purchases
from recsys_kedro.experiments.results import (
    Comparison,
    ExperimentResult,
    Figure,
    GroupEffect,
    GuardrailResult,
    MetricResult,
)
from recsys_kedro.experiments.unit_metrics import (
    COVERAGE,
    METRICS,
    metric_named,
    sufficient_statistics,
)
from recsys_kedro.experiments.unit_totals import (
    TotalsOptions,
    daily_totals,
    position_totals,
    unit_totals,
)
from recsys_kedro.experiments.verdict import (
    Evidence,
    ExperimentPlan,
    Verdict,
    cannot_be_judged,
    give_verdict,
)
from recsys_kedro.options import Options

_REVENUE: Final = "revenue_per_user"
_DAY: Final = timedelta(days=1)
_NO_PLAN: Final = cannot_be_judged(
    "no plan was made beforehand.",
    "Whoever chooses the deciding metric, the number of users and the guardrails after seeing "
    "the figures can find something in any experiment, so they are shown without a verdict.",
    "Write the plan before the next experiment begins: ab_testing.plans in the parameters.",
)


class AnalysisOptions(Options):
    """How every experiment is analysed."""

    attribution: AttributionOptions = AttributionOptions()
    totals: TotalsOptions = TotalsOptions()
    segments: tuple[Segmentation, ...] = Field(
        ("device_type", "history_length"), description="what the primary metric is cut by"
    )
    min_segment_users: int = Field(
        500, ge=2, description="users of all variants; smaller segments are not shown"
    )
    coverage_batch_users: int = Field(
        100, ge=1, description="users whose lists together show a share of the products"
    )
    novelty_days: int = Field(
        7, ge=1, description="longest span after the first exposure that is early, or late, days"
    )


@dataclass(frozen=True)
class _Case:
    """One experiment under analysis.

    ``units`` are those of one variant, ``crossed`` counts the others; ``traffic_share`` is the
    part of the shop's users that could take part.
    """

    experiment: Experiment
    made_plan: ExperimentPlan | None
    scope: Scope
    as_of: datetime
    units: pl.DataFrame
    crossed: int
    traffic_share: float
    options: AnalysisOptions

    @property
    def plan(self) -> ExperimentPlan:
        """The plan; a stand-in, for the figures alone, where none was made."""
        stand_in = ExperimentPlan(planned_units=max(self.units.height, 1), looks="once")
        return self.made_plan or stand_in

    @property
    def users(self) -> dict[str, int]:
        """By variant, of those that have any."""
        return dict(self.units.group_by(c.VARIANT).len().sort(c.VARIANT).iter_rows())

    @property
    def treatments(self) -> list[str]:
        return [name for name in self.experiment.variants if name != self.experiment.control]

    @property
    def comparing(self) -> Comparing:
        return Comparing(
            self.experiment.control,
            1 - (1 - self.plan.confidence) / len(self.treatments),
            self.plan.planned_units if self.plan.looks == "daily" else None,
        )

    @property
    def days(self) -> float:
        return (self.scope.end - self.scope.start) / _DAY


@dataclass(frozen=True)
class _Tables:
    """The effect tables of all treatments: on all metrics, and of the primary one's parts."""

    adjusted: pl.DataFrame
    observed: pl.DataFrame
    days: pl.DataFrame
    ages: pl.DataFrame
    late: pl.DataFrame
    positions: pl.DataFrame
    segments: dict[str, pl.DataFrame]


def analyse(
    log: Log,
    experiments: Experiments,
    name: str,
    plan: ExperimentPlan | None,
    options: AnalysisOptions,
    as_of: datetime,
) -> ExperimentResult:
    """What an experiment says, as the log knows it before ``as_of``.

    Args:
        log: of the shop; what is not the experiment's is left out here.
        experiments: all that are declared.
        name: which of them.
        plan: made before it began; without one there are figures and no verdict.
        options: how it is analysed.
        as_of: aware; what came at or after it, or after the end of the experiment, does not count.
    """
    case = _case_of(log, experiments, name, plan, options, as_of)
    part = part_of(log, case.units.lazy(), case.scope, options.totals.pre_days)
    bought, unpriced = purchases(part, case.scope)
    why, split = _why_nothing_compares(case), None
    comparisons: dict[str, Comparison] = {}
    verdicts = dict.fromkeys(case.treatments, cannot_be_judged(why))
    if not why:
        weights = {name: arm.weight for name, arm in case.experiment.variants.items()}
        split = check_split(case.users, weights)
        tables = _tables_of(part, case)
        for variant in case.treatments:
            comparisons[variant], verdicts[variant] = _judge(variant, tables, split, case)
    return ExperimentResult(
        start=case.experiment.start.astimezone(UTC),
        end=case.experiment.end.astimezone(UTC),
        control=case.experiment.control,
        plan=plan,
        primary=case.plan.primary,
        confidence=case.comparing.confidence,
        split=split,
        crossovers=case.crossed,
        purchases=bought,
        unpriced_purchases=unpriced,
        verdicts=verdicts,
        comparisons=comparisons,
    )


def _case_of(
    log: Log,
    experiments: Experiments,
    name: str,
    plan: ExperimentPlan | None,
    options: AnalysisOptions,
    as_of: datetime,
) -> _Case:
    experiment = experiments.named[name]
    start, end = experiment.start.astimezone(UTC), experiment.end.astimezone(UTC)
    scope = Scope(name, start, min(end, as_of.astimezone(UTC)))
    low, high = experiment.buckets
    return _Case(
        experiment,
        plan,
        scope,
        as_of,
        exposed_units(log.impressions, scope).collect(engine="streaming"),
        crossovers(log.impressions, scope),
        (high - low) * (1 - experiments.holdout.share),
        options,
    )


def _why_nothing_compares(case: _Case) -> str:
    """A sentence; empty if every variant has users, and no other one has."""
    name, start, end = case.scope.experiment, case.scope.start, case.scope.end
    if end <= start:
        return f"it begins on {start:%-d %B %Y at %H:%M}, and the log ends before."
    period = f"between {start:%-d %B %Y} and {end:%-d %B %Y at %H:%M}"
    if case.units.is_empty():
        crossed = f"; {case.crossed:,} users saw several variants" if case.crossed else ""
        return (
            f"no impression of '{name}' was logged for a user of one variant {period}{crossed}. "
            "Does the server read the same declarations (RECSYS_EXPERIMENTS_FILE)?"
        )
    declared, seen = set(case.experiment.variants), set(case.users)
    if seen - declared:
        return f"the log has variants that are not declared: {', '.join(sorted(seen - declared))}."
    if declared - seen:
        return f"no user of {', '.join(sorted(declared - seen))} is in the log {period}."
    return ""


def _tables_of(log: Log, case: _Case) -> _Tables:
    options, comparing, metric = case.options, case.comparing, metric_named(case.plan.primary)
    units, shown = case.units.lazy(), attributed(log, options.attribution).lazy()
    of_all = (units, shown, log.events, case.scope, options.totals)
    totals = unit_totals(*of_all).collect(engine="streaming").lazy()
    daily = daily_totals(*of_all).collect(engine="streaming").lazy()
    statistics = sufficient_statistics(totals)
    coverage = _coverage(units, shown, log, case)
    planned = replace(comparing, planned_users=case.plan.planned_units)
    return _Tables(
        adjusted=_corrected(
            _stacked(comparing.table(statistics, "cuped"), coverage), case.plan.primary
        ),
        observed=_stacked(comparing.table(statistics), coverage),
        days=effect_by_day(daily, totals, metric, planned),
        ages=effect_by_age(daily, units, int(case.days), metric, comparing),
        late=late_minus_early(
            daily, units, int(case.days), options.novelty_days, metric, comparing
        ),
        positions=effect_by_position(position_totals(units, shown, case.scope), comparing),
        segments=effect_by_segment(
            totals, metric, options.segments, options.min_segment_users, comparing
        ),
    )


def _coverage(units: pl.LazyFrame, shown: pl.LazyFrame, log: Log, case: _Case) -> pl.DataFrame:
    """The effect on the share of the products that is shown to so many users."""
    products = log.products.select(pl.len()).collect().item()
    batch_users = case.options.coverage_batch_users
    ours = of_experiment(shown, case.scope)
    totals = coverage_totals(units, ours, max(products, 1), batch_users)
    statistics = sufficient_statistics(totals, [COVERAGE])
    return case.comparing.table(statistics, users_per_unit=batch_users)


def _stacked(*tables: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([table for table in tables if not table.is_empty()])


def _corrected(table: pl.DataFrame, primary: str) -> pl.DataFrame:
    """With corrections among the secondary metrics; the primary one needs none."""
    is_primary = pl.col(e.METRIC) == primary
    secondary = with_corrections(table.filter(~is_primary))
    return pl.concat([table.filter(is_primary), secondary], how="diagonal")


def _judge(
    variant: str, tables: _Tables, split: SplitCheck, case: _Case
) -> tuple[Comparison, Verdict]:
    effects = _effects(tables.adjusted, variant)
    evidence = Evidence(
        split=split,
        primary=effects[case.plan.primary],
        guardrails=tuple(
            check_guardrail(guardrail, effects.get(guardrail.metric, _unknown(guardrail.metric)))
            for guardrail in case.plan.guardrails
        ),
        as_of=case.as_of,
        ends=case.experiment.end,
        monthly=_monthly(tables.adjusted, variant, case),
        wearing_off=_effects(tables.late, variant).get(case.plan.primary),
    )
    comparison = _comparison(variant, tables, evidence, case)
    if case.made_plan is None and not split.broken:
        return comparison, _NO_PLAN
    plan = case.plan.model_copy(update={"confidence": case.comparing.confidence})
    return comparison, give_verdict(plan, evidence)


def _comparison(variant: str, tables: _Tables, evidence: Evidence, case: _Case) -> Comparison:
    adjusted, observed = (
        {row[e.METRIC]: row for row in _rows(table, variant)}
        for table in (tables.adjusted, tables.observed)
    )
    late, monthly = evidence.wearing_off, evidence.monthly
    return Comparison(
        users=case.users[variant],
        users_control=case.users[case.experiment.control],
        metrics={
            metric.name: MetricResult.of(adjusted[metric.name], observed[metric.name])
            for metric in (*METRICS, COVERAGE)
            if metric.name in adjusted
        },
        guardrails=tuple(GuardrailResult.of(check) for check in evidence.guardrails),
        monthly_revenue=None if monthly is None else Figure.of_estimate(monthly),
        wearing_off=None if late is None else Figure.named(asdict(late), "difference"),
        days=_groups(tables.days, variant, e.DAY),
        ages=_groups(tables.ages, variant, e.AGE),
        positions=_groups(tables.positions, variant, c.POSITION),
        segments={name: _groups(table, variant, name) for name, table in tables.segments.items()},
    )


def _rows(table: pl.DataFrame, variant: str) -> Iterator[dict[str, Any]]:
    return (row for row in table.iter_rows(named=True) if row[c.VARIANT] == variant)


def _effects(table: pl.DataFrame, variant: str) -> dict[str, MetricEffect]:
    found = [] if table.is_empty() else effects_of(table.filter(pl.col(c.VARIANT) == variant))
    return {effect.metric: effect for effect in found}


def _groups(table: pl.DataFrame, variant: str, group: str) -> tuple[GroupEffect, ...]:
    rows = sorted(_rows(table, variant), key=lambda row: row[group])
    return tuple(GroupEffect.of(row, row[group]) for row in rows)


def _monthly(table: pl.DataFrame, variant: str, case: _Case) -> Estimate:
    """What the treatment for all changes in a month's revenue, from revenue per user."""
    row = next(row for row in _rows(table, variant) if row[e.METRIC] == _REVENUE)
    parts = ("difference", "difference_error", "difference_low", "difference_high")
    per_user = Estimate(*(np.array(row[part]) for part in parts))
    return monthly_effect(per_user, case.units.height, case.days, case.traffic_share)


def _unknown(metric: str) -> MetricEffect:
    """The effect on a metric of which the log says nothing."""
    return MetricEffect(metric, "", *[math.nan] * (len(fields(MetricEffect)) - 2))
