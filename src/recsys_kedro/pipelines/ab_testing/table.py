"""The verdicts as a table for the terminal, and as metrics for MLflow."""

import re
from collections.abc import Iterator

from rich.table import Table

from recsys_kedro.experiments.results import Comparison, ExperimentResults
from recsys_kedro.experiments.unit_metrics import metric_named
from recsys_kedro.experiments.verdict import Action
from recsys_kedro.pipelines.ab_testing.report_figures import (
    change_in_words,
    interval_in_words,
    money_in_words,
)


def experiments_table(results: ExperimentResults) -> Table:
    """One row per experiment and treatment; figures only where they may be believed."""
    table = Table(title=f"Experiments as of {results.as_of:%Y-%m-%d %H:%M} UTC")
    for name in ("experiment", "treatment", "verdict", "what decides", "change", "a month"):
        table.add_column(name)
    judged = {(name, variant): comparison for name, variant, comparison in _judged(results)}
    for name, result in results.experiments.items():
        label = metric_named(result.primary).label
        for variant, verdict in result.verdicts.items():
            comparison = judged.get((name, variant))
            cells = _cells(comparison, result.primary) if comparison else ("", "")
            table.add_row(name, variant, verdict.action, label, *cells)
    return table


def headline_figures(results: ExperimentResults) -> dict[str, float]:
    """``experiment/<experiment>/<treatment>/<figure>`` of what was judged.

    The figures: users of both variants, relative change of the deciding metric with its
    interval, change of a month's revenue. What MLflow takes in no name becomes ``_``.
    """
    figures: dict[str, float | None] = {}
    for name, variant, comparison in _judged(results):
        primary = results.experiments[name].primary
        change, money = comparison.metrics[primary].relative, comparison.monthly_revenue
        key = "/".join(re.sub(r"[^\w\-. ]", "_", part) for part in (name, variant))
        figures |= {
            f"experiment/{key}/users": comparison.users + comparison.users_control,
            f"experiment/{key}/{primary}_change": change.value,
            f"experiment/{key}/{primary}_change_low": change.low,
            f"experiment/{key}/{primary}_change_high": change.high,
            f"experiment/{key}/monthly_revenue": money.value if money else None,
        }
    return {key: value for key, value in figures.items() if value is not None}


def _judged(results: ExperimentResults) -> Iterator[tuple[str, str, Comparison]]:
    for name, result in results.experiments.items():
        for variant, comparison in result.comparisons.items():
            if result.verdicts[variant].action is not Action.CANNOT_BE_JUDGED:
                yield name, variant, comparison


def _cells(comparison: Comparison, primary: str) -> tuple[str, str]:
    change, money = comparison.metrics[primary].relative, comparison.monthly_revenue
    interval = interval_in_words(change, change_in_words)
    return (
        f"{change_in_words(change.value)} ({interval})",
        money_in_words(money.value) if money else "",
    )
