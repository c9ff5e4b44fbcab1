"""The report's pictures, as SVG text."""

from typing import Any, Final

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, PercentFormatter

from recsys_kedro.models.training import SCORE as EPOCH_SCORE
from recsys_kedro.plotting import BLUE, INK, ORANGE, SOFT, STYLE
from recsys_kedro.plotting.svg import svg_text
from recsys_kedro.tuning.results import Trial, TuningResult

_STYLE: Final[dict[Any, Any]] = STYLE | {"axes.titlesize": 11, "svg.fonttype": "path"}


def history_plot(result: TuningResult) -> str:
    """The score of every trial in their order, and the best so far."""
    with style.context(_STYLE | {"svg.hashsalt": "history"}):
        canvas = Canvas(figsize=(10.4, 3.8), layout="constrained")
        _draw_history(canvas.subplots(), result)
        canvas.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=SOFT)
        return svg_text(canvas)


def importance_plot(result: TuningResult) -> str:
    """How much of the differences between scores each option explains."""
    with style.context(_STYLE | {"svg.hashsalt": "importance", "axes.grid.axis": "x"}):
        canvas = Canvas(figsize=(10.4, 0.9 + 0.3 * len(result.importance)), layout="constrained")
        axes = canvas.subplots()
        names = list(result.importance)
        axes.barh(range(len(names)), list(result.importance.values()), color=BLUE, height=0.6)
        axes.set_yticks(range(len(names)), names, color=INK)
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("share in the variance of the scores of complete trials", loc="left")
        return svg_text(canvas)


def _draw_history(axes: Axes, result: TuningResult) -> None:
    place = {trial.number: number for number, trial in enumerate(result.trials, start=1)}
    presets = [trial for trial in result.trials if trial.preset is not None]
    drawn = [trial for trial in result.trials if trial.preset is None and trial.score is not None]
    pruned = [trial for trial in result.trials if trial.score is None]
    best, so_far = 0.0, []
    for trial in result.trials:
        best = max(best, trial.score or 0.0)
        so_far.append(best)
    axes.step(
        range(1, len(so_far) + 1), so_far, where="post", color=BLUE, lw=1.2, label="best so far"
    )
    for trials, marker, colour, label in (
        (presets, "s", ORANGE, "preset"),
        (drawn, "o", BLUE, "drawn"),
        (pruned, "x", SOFT, "ended early (last epoch's score)"),
    ):
        if trials:
            places = [place[trial.number] for trial in trials]
            heights = [_height(trial) for trial in trials]
            axes.scatter(places, heights, s=34, marker=marker, color=colour, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("mean NDCG@10, validation")
    axes.set_xlabel("trial", loc="left")


def _height(trial: Trial) -> float:
    if trial.score is not None:
        return trial.score
    return trial.epochs[-1][EPOCH_SCORE] if trial.epochs else 0.0
