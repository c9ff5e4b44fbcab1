"""What the figures of an experiment rest on, as checks that are passed, failed or open."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from recsys_kedro.experiments.checks import Harm
from recsys_kedro.experiments.results import Comparison, ExperimentResult, GuardrailResult
from recsys_kedro.experiments.unit_metrics import metric_named
from recsys_kedro.pipelines.ab_testing.report_figures import (
    change_in_words,
    difference_in_words,
    interval_in_words,
)

MOST_CROSSOVERS: Final = 0.01
MOST_UNPRICED: Final = 0.01
DAYS_OF_A_WEEK: Final = 7


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    outcome: Outcome
    line: str


def checks_of(result: ExperimentResult, comparison: Comparison, days: float) -> list[Check]:
    """The checks of one treatment; the first one blocks the verdict.

    Args:
        result: the experiment.
        comparison: the treatment's.
        days: how much of the experiment the log covers.
    """
    return [
        *_split(result),
        _crossovers(result),
        _size(result, comparison),
        _weeks(days),
        _prices(result),
        *(_guardrail(guardrail) for guardrail in comparison.guardrails),
        _novelty(result, comparison),
    ]


def _split(result: ExperimentResult) -> Iterator[Check]:
    split = result.split
    if split is None:
        return
    units = sum(split.units.values())
    parts = ", ".join(
        f"{name} {users:,} ({users / units:.1%}, declared {split.shares[name]:.1%})"
        for name, users in split.units.items()
    )
    outcome = Outcome.FAILED if split.broken else Outcome.PASSED
    yield Check("The split is as declared", outcome, f"Users: {parts}; p = {split.p_value:.2g}.")


def _crossovers(result: ExperimentResult) -> Check:
    units = sum(result.split.units.values()) if result.split else 0
    share = result.crossovers / max(units + result.crossovers, 1)
    line = "Nobody saw two."
    if result.crossovers:
        line = f"{result.crossovers:,} users ({share:.1%}) saw several and are left out."
    return Check("A user sees one variant", _outcome(share <= MOST_CROSSOVERS), line)


def _size(result: ExperimentResult, comparison: Comparison) -> Check:
    name, users = "As many users as planned", comparison.users + comparison.users_control
    if result.plan is None:
        return Check(name, Outcome.FAILED, f"{users:,} users; there is no plan.")
    planned = result.plan.planned_units
    outcome = Outcome.PASSED if users >= planned else Outcome.OPEN
    return Check(name, outcome, f"{users:,} users of {planned:,} planned.")


def _weeks(days: float) -> Check:
    line = f"{days:.0f} days are in the log; weekdays differ, so a test needs a whole week."
    outcome = Outcome.PASSED if days >= DAYS_OF_A_WEEK else Outcome.OPEN
    return Check("At least a week", outcome, line)


def _prices(result: ExperimentResult) -> Check:
    missing, every = result.unpriced_purchases, result.purchases
    line = f"All {every:,} purchases have one."
    if missing:
        line = f"{missing:,} of {every:,} purchases have none and add nothing to revenue."
    return Check("Purchases have prices", _outcome(missing <= MOST_UNPRICED * every), line)


def _guardrail(guardrail: GuardrailResult) -> Check:
    metric = metric_named(guardrail.metric)
    in_unit = partial(difference_in_words, measure=metric.measure)
    write = change_in_words if guardrail.relative else in_unit
    line = (
        f"Worse by {write(guardrail.worse.value)} ({interval_in_words(guardrail.worse, write)}), "
        f"allowed {write(guardrail.margin)}."
    )
    outcomes = {
        Harm.NONE: Outcome.PASSED,
        Harm.POSSIBLE: Outcome.OPEN,
        Harm.CERTAIN: Outcome.FAILED,
    }
    return Check(f"Guardrail: {metric.label}", outcomes[guardrail.harm], line)


def _novelty(result: ExperimentResult, comparison: Comparison) -> Check:
    name, late = "The effect lasts", comparison.wearing_off
    effect = comparison.metrics[result.primary].difference.value
    if late is None or late.low is None or late.high is None or late.value is None:
        return Check(name, Outcome.OPEN, "The log is too short to compare late with early days.")
    write = partial(difference_in_words, measure=metric_named(result.primary).measure)
    figures = f"late minus early {write(late.value)} ({interval_in_words(late, write)})"
    if late.low <= 0 <= late.high:
        return Check(name, Outcome.PASSED, f"No sign that it changes: {figures}.")
    if late.value * (effect or 0.0) < 0:
        return Check(name, Outcome.FAILED, f"It shrinks as users get used to it: {figures}.")
    return Check(name, Outcome.PASSED, f"It grows: {figures}.")


def _outcome(passed: bool) -> Outcome:
    return Outcome.PASSED if passed else Outcome.FAILED
