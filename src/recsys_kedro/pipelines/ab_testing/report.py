"""The experiments as one HTML page that needs nothing else: no network, no other file."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from markupsafe import Markup

from recsys_kedro.experiments.results import (
    Comparison,
    ExperimentResult,
    ExperimentResults,
    Figure,
    MetricResult,
)
from recsys_kedro.experiments.unit_metrics import Metric, metric_named
from recsys_kedro.experiments.verdict import Action, Verdict
from recsys_kedro.pipelines.ab_testing.options import AbTestingOptions
from recsys_kedro.pipelines.ab_testing.report_checks import Check, checks_of
from recsys_kedro.pipelines.ab_testing.report_figures import (
    UNKNOWN,
    change_in_words,
    difference_in_words,
    interval_in_words,
    money_in_words,
    value_in_words,
)
from recsys_kedro.pipelines.ab_testing.report_plots import (
    day_plot,
    lift_plot,
    position_plot,
    segment_plot,
)
from recsys_kedro.report_pages import render_page

_PRIMARY, _GUARDRAIL = "decides", "guardrail"
_CONCLUSIONS: Final = {
    "better": "better",
    "worse": "worse",
    "unsure": "could be chance",
    "same": "no difference",
    "unknown": "not known",
}


@dataclass(frozen=True)
class MetricRow:
    """One metric, written out; ``outcome`` is a key of :data:`_CONCLUSIONS`."""

    label: str
    role: str
    control: str
    treatment: str
    change: str
    interval: str
    outcome: str
    conclusion: str
    appendix: tuple[str, ...]


@dataclass(frozen=True)
class TreatmentView:
    """One treatment as the page shows it; ``comparison`` is empty if nothing compares."""

    name: str
    verdict: Verdict
    money: str
    money_doubt: str
    checks: list[Check]
    rows: list[MetricRow]
    plots: dict[str, Markup]
    comparison: Comparison | None


@dataclass(frozen=True)
class ExperimentView:
    """One experiment as the page shows it."""

    name: str
    result: ExperimentResult
    metric: Metric
    days: float
    treatments: list[TreatmentView]

    @property
    def shippable(self) -> list[str]:
        """The treatments that may be shipped."""
        return [t.name for t in self.treatments if t.verdict.action is Action.SHIP]


def render_report(results: ExperimentResults, options: AbTestingOptions, shop: str) -> str:
    """The page. Same results and options, same text.

    Args:
        results: what ``experiment_results.json`` holds.
        options: how they were made.
        shop: what the shop is called; a made-up one is shown as such.
    """
    views = [_view(name, result, results) for name, result in results.experiments.items()]
    return render_page(
        __package__,
        shop,
        results=results,
        options=options,
        experiments=views,
    )


def _view(name: str, result: ExperimentResult, results: ExperimentResults) -> ExperimentView:
    days = (min(result.end, results.as_of) - result.start).total_seconds() / 86_400
    treatments = [_treatment(name, variant, result, max(days, 0.0)) for variant in result.verdicts]
    return ExperimentView(name, result, metric_named(result.primary), days, treatments)


def _treatment(name: str, variant: str, result: ExperimentResult, days: float) -> TreatmentView:
    verdict, comparison = result.verdicts[variant], result.comparisons.get(variant)
    if comparison is None:
        return TreatmentView(variant, verdict, "", "", [], [], {}, None)
    judged = verdict.action is not Action.CANNOT_BE_JUDGED
    money, doubt = _money(comparison.monthly_revenue) if judged else ("", "")
    key = f"{name} {variant}"
    plots = {
        "lifts": lift_plot(key, comparison, result.primary),
        "days": day_plot(key, comparison, result.primary),
        "positions": position_plot(key, comparison, result.control, variant),
        "segments": segment_plot(key, comparison, result.primary),
    }
    return TreatmentView(
        variant,
        verdict,
        money,
        doubt,
        checks_of(result, comparison, days),
        _rows(result, comparison),
        {plot: Markup(svg) for plot, svg in plots.items()},
        comparison,
    )


def _money(monthly: Figure | None) -> tuple[str, str]:
    """The figure and how sure it is; a gain that may be none is told as its interval only."""
    if monthly is None or monthly.low is None or monthly.high is None:
        return "", ""
    interval = interval_in_words(monthly, money_in_words)
    if monthly.low <= 0 <= monthly.high:
        return interval, ": it may be nothing"
    return money_in_words(monthly.value), f" ({interval})"


def _rows(result: ExperimentResult, comparison: Comparison) -> list[MetricRow]:
    """The deciding metric, then the guardrails, then the others."""
    guarded = {guardrail.metric for guardrail in comparison.guardrails}

    def role(name: str) -> str:
        if name == result.primary and result.plan:
            return _PRIMARY
        return _GUARDRAIL if name in guarded else ""

    order = {_PRIMARY: 0, _GUARDRAIL: 1, "": 2}
    names = sorted(comparison.metrics, key=lambda name: order[role(name)])
    return [_row(name, role(name), comparison.metrics[name], result) for name in names]


def _row(name: str, role: str, effect: MetricResult, result: ExperimentResult) -> MetricRow:
    metric = metric_named(name)
    change, write = effect.relative, change_in_words
    if change.value is None:  # the control has none of it
        change, write = effect.difference, partial(difference_in_words, measure=metric.measure)
    outcome = _outcome(metric, effect, result)
    return MetricRow(
        label=metric.label,
        role=role,
        control=value_in_words(effect.control, metric.measure),
        treatment=value_in_words(effect.treatment, metric.measure),
        change=write(change.value),
        interval=interval_in_words(change, write),
        outcome=outcome,
        conclusion=_CONCLUSIONS[outcome],
        appendix=_appendix(metric, effect),
    )


def _outcome(metric: Metric, effect: MetricResult, result: ExperimentResult) -> str:
    """The deciding metric by its interval, the others by Holm's p-value."""
    value, low, high = effect.difference.value, effect.difference.low, effect.difference.high
    if value is None or low is None or high is None:
        return "unknown"
    if result.split is None or result.split.broken:
        return "unknown"
    if low == high:  # nothing varies
        return "same" if value == 0 else "unknown"
    confidence = result.plan.confidence if result.plan else result.confidence
    sure = effect.p_holm is not None and effect.p_holm < 1 - confidence
    if metric.name == result.primary:
        sure = not low <= 0 <= high
    if not sure:
        return "unsure"
    return "better" if (value > 0) == metric.more_is_better else "worse"


def _appendix(metric: Metric, effect: MetricResult) -> tuple[str, ...]:
    write = partial(difference_in_words, measure=metric.measure)
    return (
        value_in_words(effect.observed_control, metric.measure),
        value_in_words(effect.observed_treatment, metric.measure),
        change_in_words(effect.observed_relative.value),
        interval_in_words(effect.observed_relative, change_in_words),
        write(effect.difference.value),
        interval_in_words(effect.difference, write),
        _p_value(effect.p_value),
        _p_value(effect.p_holm),
        UNKNOWN if effect.saving is None else f"{effect.saving:.0%}",
    )


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
