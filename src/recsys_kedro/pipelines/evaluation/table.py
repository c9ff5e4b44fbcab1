"""The evaluation as a table for the terminal."""

from typing import Any

from rich.table import Table

from recsys_kedro.metrics.evaluation import (
    HEADLINE,
    HYBRID,
    Evaluation,
    Figure,
    TaskEvaluation,
    rank_models,
)
from recsys_kedro.pipelines.evaluation.verdict import give_verdict


def evaluation_table(evaluation: dict[str, Any]) -> Table:
    """One row per model, best mean NDCG@10 over the tasks first; the verdict is the caption.

    Args:
        evaluation: what ``evaluation.json`` holds.
    """
    parsed = Evaluation.model_validate(evaluation)
    table = Table(
        title=f"Test window {parsed.cut:%Y-%m-%d} to {parsed.end:%Y-%m-%d}",
        caption=f"{give_verdict(parsed).title} (~ the interval of the difference contains zero)",
    )
    table.add_column("model")
    for name, task in parsed.tasks.items():
        table.add_column(f"{name}: NDCG@10\n{task.users:,} users", justify="right")
        table.add_column(f"minus\n{task.differences.baseline}", justify="right")
    for model in _ranked(parsed):
        cells = [cell for task in parsed.tasks.values() for cell in _cells(task, model)]
        table.add_row(model, *cells, style="bold" if model == HYBRID else None)
    return table


def _ranked(evaluation: Evaluation) -> list[str]:
    tasks = evaluation.tasks.values()
    models = {model for task in tasks for model in task.models}
    return rank_models({model: sum(task.headline(model) for task in tasks) for model in models})


def _cells(task: TaskEvaluation, model: str) -> tuple[str, str]:
    difference = task.differences.models.get(model)
    return (
        _with_interval(task.models[model][HEADLINE]),
        "" if difference is None else _with_doubt(difference),
    )


def _with_interval(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "n/a"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _with_doubt(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "n/a"
    return f"{'~' if figure.low <= 0 <= figure.high else ''}{figure.value:+.3f}"
