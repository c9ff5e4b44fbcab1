"""What to do, in words: the experiment's outcome and what it rests on."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from recsys_kedro.experiments.checks import Guardrail, GuardrailCheck, Harm, SplitCheck
from recsys_kedro.experiments.effect_tables import MetricEffect
from recsys_kedro.experiments.effects import Estimate
from recsys_kedro.experiments.unit_metrics import COVERAGE, Metric, metric_named
from recsys_kedro.options import Options


class Action(StrEnum):
    """What the team should do."""

    SHIP = "Ship"
    DO_NOT_SHIP = "Do not ship"
    KEEP_RUNNING = "Keep running"
    CANNOT_BE_JUDGED = "Cannot be judged"


class ExperimentPlan(Options):
    """What was decided before the first user came; changing it later spoils the verdict."""

    primary: str = Field("revenue_per_user", description="the metric that decides")
    planned_units: int = Field(gt=0, description="users of both variants; see power")
    looks: Literal["once", "daily"] = Field(
        "daily", description="once: judged at the end only; daily: may end on any day"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of all intervals")
    guardrails: tuple[Guardrail, ...] = ()

    @model_validator(mode="after")
    def _primary_is_a_metric_of_users(self) -> Self:
        if metric_named(self.primary) is COVERAGE:
            msg = f"primary: {COVERAGE.name} is of many lists, no user has it; make it a guardrail"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on.

    With daily looks the intervals have to be always-valid ones.

    Attributes:
        split: of all variants.
        primary: effect on the primary metric, plain or with CUPED.
        guardrails: outcomes.
        as_of: end of the log.
        ends: end of the experiment as planned.
        monthly: effect on a month's revenue, if it is known.
        wearing_off: late minus early effect on the primary metric, if the log is long enough.
    """

    split: SplitCheck
    primary: MetricEffect
    guardrails: tuple[GuardrailCheck, ...]
    as_of: datetime
    ends: datetime
    monthly: Estimate | None = None
    wearing_off: MetricEffect | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome in words for somebody who knows no statistics."""

    action: Action
    headline: str
    reasons: tuple[str, ...]


def give_verdict(plan: ExperimentPlan, evidence: Evidence) -> Verdict:
    """Judge one treatment against the control.

    - A broken split: nothing is judged.
    - A guardrail surely beyond its margin: not shipped, whatever the primary metric says.
    - The primary metric's interval above 0 and all guardrails surely within: shipped.
    - Its interval below 0: not shipped.
    - Else it runs until its planned end, and is then not shipped.
    """
    metric = metric_named(plan.primary)
    if evidence.split.broken:
        return cannot_be_judged(
            f"the split is broken. {_split_in_words(evidence.split)}",
            "Users are missing in one variant, and those who are missing are hardly like the "
            "others, so no figure below can be trusted.",
            "Look for what one variant does differently before it logs: errors, time-outs, "
            "redirects, caches, bots; then start again with a new salt.",
        )
    action, why = _decide(plan, evidence, metric)
    reasons = [
        _primary_in_words(metric, evidence.primary, plan),
        *_money_in_words(evidence.monthly),
        *(_guardrail_in_words(check) for check in evidence.guardrails),
        *_novelty_in_words(evidence.primary, evidence.wearing_off),
        f"The split is as planned. {_split_in_words(evidence.split)}",
        _looks_in_words(plan),
    ]
    return Verdict(action, f"{action}{why}", tuple(reasons))


def cannot_be_judged(why: str, *reasons: str) -> Verdict:
    """The verdict where the figures do not bear one; ``why`` is a sentence."""
    action = Action.CANNOT_BE_JUDGED
    return Verdict(action, f"{action}: {why}", reasons)


def _decide(plan: ExperimentPlan, evidence: Evidence, metric: Metric) -> tuple[Action, str]:
    primary, over = evidence.primary, evidence.as_of >= evidence.ends
    harmed = [check.guardrail.metric for check in evidence.guardrails if check.harm is Harm.CERTAIN]
    unsure = [
        check.guardrail.metric for check in evidence.guardrails if check.harm is Harm.POSSIBLE
    ]
    until = f" until {evidence.ends:%-d %B %Y}"
    better, worse = primary.difference_low > 0, primary.difference_high < 0
    if not metric.more_is_better:
        better, worse = worse, better
    if harmed:
        return Action.DO_NOT_SHIP, f": {_names(harmed)} got worse by more than is allowed."
    if plan.looks == "once" and not over:
        return Action.KEEP_RUNNING, f"{until}: it was planned to be judged at its end only."
    if worse:
        return Action.DO_NOT_SHIP, f": {metric.label} got worse ({_lift(primary)})."
    if better and not unsure:
        return Action.SHIP, f": {metric.label} got better ({_lift(primary)})."
    if not over:
        open_question = f"{_names(unsure)} may be worse" if better else "it could still be chance"
        return Action.KEEP_RUNNING, f"{until}: {open_question}."
    if better:
        return Action.DO_NOT_SHIP, (
            f": {metric.label} got better ({_lift(primary)}), but {_names(unsure)} may be worse "
            "than is allowed."
        )
    return Action.DO_NOT_SHIP, f": no difference in {metric.label} was found in the planned time."


def _primary_in_words(metric: Metric, effect: MetricEffect, plan: ExperimentPlan) -> str:
    users = f"{effect.units + effect.units_control:,.0f} users of {plan.planned_units:,} planned"
    figures = f"{_number(effect.treatment)} against {_number(effect.control)}, {_lift(effect)}"
    if effect.difference_low <= 0 <= effect.difference_high:
        return f"{metric.label}: {figures}, {users}. No difference at all would fit as well."
    missed = f"{100 * (1 - plan.confidence):.2g}% of experiments"
    return f"{metric.label}: {figures}, {users}. Such an interval misses the truth in {missed}."


def _money_in_words(monthly: Estimate | None) -> list[str]:
    if monthly is None:
        return []
    value, low, high = (float(part) for part in (monthly.value, monthly.low, monthly.high))
    return [
        f"Shipped to all users that is {value:+,.0f} in revenue a month ({low:+,.0f} to "
        f"{high:+,.0f}), if the coming months are like the experiment."
    ]


def _guardrail_in_words(check: GuardrailCheck) -> str:
    guardrail, relative = check.guardrail, check.guardrail.relative_margin is not None
    margin = guardrail.relative_margin if relative else guardrail.absolute_margin
    label = metric_named(guardrail.metric).label
    if math.isnan(check.worse):
        return f"{label}: not known, there is nothing to compare."
    worse, low, high, allowed = (
        f"{figure:+.1%}" if relative else f"{figure:+.3g}"
        for figure in (check.worse, check.low, check.high, margin or 0.0)
    )
    said = {
        Harm.NONE: "within what is allowed",
        Harm.POSSIBLE: "not known well enough",
        Harm.CERTAIN: "worse than is allowed",
    }
    return f"{label}: {said[check.harm]}. Worse by {worse} ({low} to {high}), allowed {allowed}."


def _novelty_in_words(effect: MetricEffect, late_minus_early: MetricEffect | None) -> list[str]:
    if late_minus_early is None:
        return []
    change = late_minus_early.difference
    low, high = late_minus_early.difference_low, late_minus_early.difference_high
    figures = f"late minus early {change:+.3g}, between {low:+.3g} and {high:+.3g}"
    if not (low > 0 or high < 0):
        return [f"No sign that the effect changes as users get used to it ({figures})."]
    way = "shrinks" if change * effect.difference < 0 else "grows"
    return [f"The effect {way} as users get used to it ({figures}): run longer to rely on it."]


def _split_in_words(split: SplitCheck) -> str:
    total = max(sum(split.units.values()), 1)
    parts = [
        f"{name} {units:,} ({units / total:.1%}, planned {split.shares[name]:.1%})"
        for name, units in split.units.items()
    ]
    return f"Users: {', '.join(parts)}; p = {split.p_value:.2g}."


def _looks_in_words(plan: ExperimentPlan) -> str:
    if plan.looks == "daily":
        return "The intervals hold however often one looks, so the experiment may end on any day."
    return "The intervals hold for one look at the planned end; looking earlier would spoil them."


def _lift(effect: MetricEffect) -> str:
    relative = (effect.relative, effect.relative_low, effect.relative_high)
    if all(math.isfinite(figure) for figure in relative):
        value, low, high = (f"{figure:+.1%}" for figure in relative)
    else:
        absolute = (effect.difference, effect.difference_low, effect.difference_high)
        value, low, high = (f"{figure:+.3g}" for figure in absolute)
    return f"{value}, between {low} and {high}"


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"


def _names(metrics: list[str]) -> str:
    labels = [metric_named(name).label for name in metrics]
    return " and ".join(labels)
