"""The study as one HTML page that needs nothing else: no network, no other file."""

from dataclasses import dataclass

from markupsafe import Markup

from recsys_kedro.pipelines.tuning.report_plots import history_plot, importance_plot
from recsys_kedro.pipelines.tuning.table import value_in_words
from recsys_kedro.report_pages import render_page
from recsys_kedro.tuning.results import Trial, TuningResult, count_endings


@dataclass(frozen=True)
class Row:
    """One trial of the table, formatted."""

    number: int
    kind: str
    score: str
    epochs: int
    seconds: str
    values: list[str]


def render_report(result: TuningResult) -> str:
    """The page. Same result, same text."""
    complete = [trial for trial in result.trials if trial.score is not None]
    pruned = [trial for trial in result.trials if trial.score is None]
    ranked = sorted(complete, key=lambda trial: -(trial.score or 0.0)) + pruned
    return render_page(
        __package__,
        result.shop,
        result=result,
        best=result.trial(result.best),
        default=result.trial(result.default),
        options=list(result.trial(result.best).values),
        rows=[_row(trial, result) for trial in ranked],
        endings=count_endings(result.trials),
        in_words=value_in_words,
        history=Markup(history_plot(result)),
        importance=Markup(importance_plot(result)) if result.importance else "",
    )


def _row(trial: Trial, result: TuningResult) -> Row:
    kinds = [
        *(["best"] if trial.number == result.best else []),
        *(["default"] if trial.number == result.default else []),
        *(["preset"] if trial.preset is not None and trial.number != result.default else []),
    ]
    return Row(
        number=trial.number,
        kind=", ".join(kinds),
        score="ended early" if trial.score is None else f"{trial.score:.4f}",
        epochs=len(trial.epochs),
        seconds=f"{trial.seconds:,.1f}",
        values=[value_in_words(value) for value in trial.values.values()],
    )
