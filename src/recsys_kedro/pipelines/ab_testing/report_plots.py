"""The report's pictures, as SVG text.

Shape and words say what colour says, so the pictures also read in grey and to the colour-blind.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from recsys_kedro.experiments.results import Comparison, Figure, GroupEffect
from recsys_kedro.experiments.unit_metrics import CTR, Metric, metric_named
from recsys_kedro.pipelines.ab_testing.report_figures import UNITS, change_in_words
from recsys_kedro.plotting import BLUE, INK, ORANGE, SOFT, STYLE
from recsys_kedro.plotting.svg import svg_text

MOST_POSITIONS: Final = 20
_WIDTH: Final = 10.4
_SEGMENTATIONS: Final = {"device_type": "device", "history_length": "past events"}
_PERCENT: Final = 100.0


def lift_plot(name: str, comparison: Comparison, primary: str) -> str:
    """The relative change of every metric with its interval; better is right or left."""
    rows = [
        (metric_named(metric), effect.relative)
        for metric, effect in comparison.metrics.items()
        if effect.relative.value is not None
    ]
    rows.sort(key=lambda row: row[0].name != primary)
    with _style(f"lift {name}", "x"):
        canvas = Canvas(figsize=(_WIDTH, 1.0 + 0.36 * len(rows)))
        axis = canvas.subplots()
        for height, (metric, relative) in enumerate(rows):
            _draw_interval(axis, metric, _scaled(relative, _PERCENT), height)
            axis.annotate(
                change_in_words(relative.value),
                (1.0, height),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axis.axvline(0, color=INK, lw=1, zorder=1)
        axis.set_xlim(_limits([relative for _, relative in rows]))
        axis.set_yticks(range(len(rows)), [metric.label for metric, _ in rows])
        _embolden(axis, [metric.name == primary for metric, _ in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlabel("change against the control, % (bar: interval)", loc="left")
        return svg_text(canvas)


def day_plot(name: str, comparison: Comparison, primary: str) -> str:
    """The effect as it stood after each day, and the effect by days since the first visit."""
    metric = metric_named(primary)
    with _style(f"days {name}", "y"):
        canvas = Canvas(figsize=(_WIDTH, 3.4))
        left, right = canvas.subplots(1, 2)
        _draw_days(left, comparison.days, _scale(metric))
        left.set_title("All users so far, after each day")
        left.set_xlabel("day of the experiment", loc="left")
        left.set_ylabel(f"{metric.label},\ndifference, {UNITS[metric.measure]}")
        _draw_ages(right, comparison.ages, _scale(metric))
        right.set_title("By how long a user has known it")
        right.set_xlabel("days since the user's first visit", loc="left")
        for axis in (left, right):
            axis.axhline(0, color=INK, lw=1, zorder=1)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        return svg_text(canvas)


def position_plot(name: str, comparison: Comparison, control: str, treatment: str) -> str:
    """The click-through rate at each position, treatment and control."""
    groups = comparison.positions[:MOST_POSITIONS]
    with _style(f"positions {name}", "y"):
        canvas = Canvas(figsize=(_WIDTH, 3.0))
        axis = canvas.subplots()
        positions = [group.group for group in groups]
        looks = (("control", control, SOFT, "s", "--"), ("treatment", treatment, BLUE, "o", "-"))
        for part, label, colour, marker, line in looks:
            rates = [_PERCENT * (getattr(group, part) or 0.0) for group in groups]
            axis.plot(positions, rates, color=colour, marker=marker, ls=line, lw=2, label=label)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("position in the list, 1 is the top", loc="left")
        axis.set_ylabel(f"{CTR.label}, %")
        axis.legend(frameon=False)
        return svg_text(canvas)


def segment_plot(name: str, comparison: Comparison, primary: str) -> str:
    """The effect in each segment."""
    metric = metric_named(primary)
    rows = [
        (f"{_SEGMENTATIONS[by]}: {group.group}  ({group.users:,})", group)
        for by, groups in comparison.segments.items()
        for group in groups
    ]
    with _style(f"segments {name}", "x"):
        canvas = Canvas(figsize=(_WIDTH, 1.0 + 0.36 * max(len(rows), 1)))
        axis = canvas.subplots()
        for height, (_, group) in enumerate(rows):
            _draw_interval(axis, metric, _scaled(group.difference, _scale(metric)), height)
        axis.axvline(0, color=INK, lw=1, zorder=1)
        axis.set_yticks(range(len(rows)), [label for label, _ in rows])
        axis.set_ylim(max(len(rows), 1) - 0.4, -0.6)
        axis.set_xlabel(f"{metric.label}, difference, {UNITS[metric.measure]}", loc="left")
        return svg_text(canvas)


def _draw_days(axis: Axes, groups: Sequence[GroupEffect], scale: float) -> None:
    figures = [(int(group.group) + 1, _scaled(group.difference, scale)) for group in groups]
    line = [(day, figure.value) for day, figure in figures if figure.value is not None]
    band = [(day, f.low, f.high) for day, f in figures if f.low is not None and f.high is not None]
    if line:
        axis.plot(*zip(*line, strict=True), "o-", color=BLUE, ms=4)
        axis.set_xlim(line[0][0] - 0.5, line[-1][0] + 0.5)
    if band:
        days, lows, highs = zip(*band, strict=True)
        axis.fill_between(days, lows, highs, color=BLUE, alpha=0.18, lw=0)
    else:
        axis.text(0.02, 0.96, "too few users for a band", transform=axis.transAxes, va="top")


def _draw_ages(axis: Axes, groups: Sequence[GroupEffect], scale: float) -> None:
    for group in groups:
        age, figure = int(group.group), _scaled(group.difference, scale)
        if figure.value is None:
            continue
        if figure.low is not None and figure.high is not None:
            axis.plot([age, age], [figure.low, figure.high], color=SOFT, lw=1.6)
        axis.plot(age, figure.value, "o", color=BLUE, ms=5)


def _draw_interval(axis: Axes, metric: Metric, figure: Figure, height: float) -> None:
    """A triangle up: better; down: worse; a circle: it may be either."""
    if figure.value is None:
        return
    marker, colour = "o", SOFT
    if figure.low is not None and figure.high is not None:
        up, down = figure.low > 0, figure.high < 0
        better, worse = (up, down) if metric.more_is_better else (down, up)
        marker, colour = ("^", BLUE) if better else ("v", ORANGE) if worse else ("o", SOFT)
        axis.plot([figure.low, figure.high], [height] * 2, color=colour, lw=2.2, zorder=2)
    face = "white" if colour == SOFT else colour
    axis.plot(figure.value, height, marker=marker, ms=8, mec=colour, mfc=face, mew=1.4, zorder=3)


def _embolden(axis: Axes, bold: Sequence[bool]) -> None:
    for label, is_bold in zip(axis.get_yticklabels(), bold, strict=True):
        label.set_fontweight("bold" if is_bold else "normal")


def _scale(metric: Metric) -> float:
    return _PERCENT if metric.measure == "share" else 1.0


def _scaled(figure: Figure, scale: float) -> Figure:
    parts = (figure.value, figure.low, figure.high)
    value, low, high = (None if part is None else part * scale for part in parts)
    return Figure(value=value, low=low, high=high)


def _limits(figures: Sequence[Figure]) -> tuple[float, float]:
    """Three times as far as the first figure's interval; what is wider runs to the edge."""
    reach = [
        max(abs(bound or 0.0) for bound in (figure.low, figure.high, figure.value))
        for figure in figures
    ]
    far = _PERCENT * 1.05 * (min(3 * reach[0], max(reach)) if reach else 0.0)
    return (-far, far) if far else (-1.0, 1.0)


@contextmanager
def _style(salt: str, grid: str) -> Iterator[None]:
    """The project's style, as vector graphics whose ids are the same in every run."""
    own = {"svg.fonttype": "path", "svg.hashsalt": salt, "axes.grid.axis": grid}
    with style.context(STYLE | own):
        yield
