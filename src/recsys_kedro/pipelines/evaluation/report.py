"""The evaluation as one HTML page that needs nothing else: no network, no other file."""

from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from recsys_kedro.metrics.evaluation import HEADLINE, HYBRID, Evaluation, Figure, TaskEvaluation
from recsys_kedro.pipelines.evaluation.options import EvaluationOptions
from recsys_kedro.pipelines.evaluation.report_plots import (
    TASK_TITLES,
    difference_plot,
    forest_plot,
    slice_plot,
    trade_off_plot,
)
from recsys_kedro.pipelines.evaluation.verdict import give_verdict
from recsys_kedro.report_pages import render_page
from recsys_kedro.splits import TimeSplit


@dataclass(frozen=True)
class HeadlineColumn:
    """One column of the headline table.

    ``scale`` turns the figure into the unit shown; ``ranked`` columns have a best and show
    their intervals, the others describe the lists.
    """

    metric: str
    title: str
    unit: str
    decimals: int = 3
    scale: float = 1.0
    ranked: bool = True


HEADLINE_COLUMNS: Final = (
    HeadlineColumn(HEADLINE, "NDCG", "0 to 1"),
    HeadlineColumn("recall@10", "Recall", "% of taken", 1, 100),
    HeadlineColumn("precision@10", "Precision", "% of list", 1, 100),
    HeadlineColumn("hit_rate@10", "Hit rate", "% of users", 1, 100),
    HeadlineColumn("mrr@10", "MRR", "0 to 1"),
    HeadlineColumn("map@10", "MAP", "0 to 1"),
    HeadlineColumn("coverage@10", "Coverage", "% of catalogue", 1, 100, ranked=False),
    HeadlineColumn("novelty@10", "Novelty", "bits", 1, ranked=False),
    HeadlineColumn("diversity@10", "Diversity", "share of pairs", 2, ranked=False),
    HeadlineColumn("popularity@10", "Popularity", "percentile", 0, 100, ranked=False),
)


@dataclass(frozen=True)
class ReportContext:
    """What the report says beside the figures.

    Attributes:
        shop: what the shop is called; a made-up one is shown as such.
        split: the windows.
        options, seed: how the figures were made.
        past_events, past_users: events and their users before the test window.
        products: rows of the product table.
    """

    shop: str
    split: TimeSplit
    options: EvaluationOptions
    seed: int
    past_events: int
    past_users: int
    products: int


@dataclass(frozen=True)
class Cell:
    """One figure of a table, formatted."""

    value: str
    interval: str
    best: bool


def render_report(evaluation: dict[str, Any], context: ReportContext) -> str:
    """The page. Same evaluation and context, same text.

    Args:
        evaluation: what ``evaluation.json`` holds.
        context: what to say about how it was made.
    """
    parsed = Evaluation.model_validate(evaluation)
    return render_page(
        __package__,
        context.shop,
        context=context,
        evaluation=parsed,
        verdict=give_verdict(parsed),
        columns=HEADLINE_COLUMNS,
        tables={name: _headline_rows(task) for name, task in parsed.tasks.items()},
        details={name: _detail_rows(task) for name, task in parsed.tasks.items()},
        titles=TASK_TITLES,
        hybrid=HYBRID,
        plots={
            "forest": Markup(forest_plot(parsed)),
            "differences": Markup(difference_plot(parsed)),
            "slices": Markup(slice_plot(parsed)),
            "trade_offs": Markup(trade_off_plot(parsed)),
        },
    )


def _headline_rows(task: TaskEvaluation) -> dict[str, list[Cell]]:
    """One row per model, best first, with the cells of :data:`HEADLINE_COLUMNS`."""
    best = {column.metric: _best_text(task, column) for column in HEADLINE_COLUMNS}
    return {
        model: [
            _cell(task.models[model][column.metric], column, best[column.metric])
            for column in HEADLINE_COLUMNS
        ]
        for model in task.ranking
    }


def _best_text(task: TaskEvaluation, column: HeadlineColumn) -> str | None:
    values = [figures[column.metric].value for figures in task.models.values()]
    known = [value for value in values if value is not None]
    return _format(max(known), column) if known and column.ranked else None


def _cell(figure: Figure, column: HeadlineColumn, best: str | None) -> Cell:
    value = _format(figure.value, column)
    if figure.low is None or figure.high is None or not column.ranked:
        return Cell(value, "", best == value)
    interval = f"{_format(figure.low, column)} to {_format(figure.high, column)}"
    return Cell(value, interval, best == value)


def _format(value: float | None, column: HeadlineColumn) -> str:
    return "n/a" if value is None else f"{value * column.scale:.{column.decimals}f}"


def _detail_rows(task: TaskEvaluation) -> dict[str, list[str]]:
    """Every figure: one row per metric and k, one cell per model, best model first."""
    metrics = task.models[task.ranking[0]] if task.ranking else {}
    return {
        metric: [
            "n/a" if (value := task.models[model][metric].value) is None else f"{value:.4f}"
            for model in task.ranking
        ]
        for metric in metrics
    }
