"""The report's pictures, as SVG text.

The latest window is a filled point, earlier ones are open, the reference's median is a dashed
line: nothing is told by colour alone, so the pictures also read in grey.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, PercentFormatter

from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import FIGURES, in_words
from recsys_kedro.monitoring.thresholds import Threshold
from recsys_kedro.plotting import BLUE, FAINT, INK, ORANGE, SOFT, STYLE
from recsys_kedro.plotting.svg import svg_text

PANELS_PER_ROW: Final = 3
MOST_COLUMNS: Final = 15
UNITS: Final = {
    "share": "share",
    "count": "number",
    "money": "shop's currency",
    "ms": "milliseconds",
    "hours": "hours",
    "bits": "bits",
    "index": "index",
    "number": "score",
}
FROM_ZERO: Final = ("count", "money", "ms", "hours")
_STYLE: Final[dict[Any, Any]] = STYLE | {
    "axes.titlesize": 10.5,
    "axes.titlepad": 8,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "date.converter": "concise",
    "xtick.labelsize": 8.5,
    "svg.fonttype": "path",
}


def series_plot(figures: pl.DataFrame, names: Sequence[str]) -> str:
    """Each figure over the windows, with intervals and the median of the earlier ones."""
    rows = -(-len(names) // PANELS_PER_ROW)
    with style.context(_STYLE | {"svg.hashsalt": "-".join(names)}):
        canvas = Canvas(figsize=(10.4, 2.7 * rows))
        axes = canvas.subplots(rows, PANELS_PER_ROW, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            _draw_series(axis, figures, name)
        return svg_text(canvas)


def part_plot(latest: pl.DataFrame, name: str) -> str:
    """One figure of the latest window in every slice, with its interval."""
    rows = latest.filter(pl.col(m.FIGURE) == name, pl.col(m.VALUE).is_not_null())
    first = rows[m.SLICE] == m.ALL
    rows = pl.concat([rows.filter(first), rows.filter(~first)])
    with style.context(_STYLE | {"svg.hashsalt": name, "axes.grid.axis": "x"}):
        canvas = Canvas(figsize=(10.4, 1.0 + 0.34 * max(rows.height, 1)))
        axis = canvas.subplots()
        for place, row in enumerate(rows.iter_rows(named=True)):
            if row[m.LOW] is not None:
                axis.plot([row[m.LOW], row[m.HIGH]], [place] * 2, color=BLUE, lw=2.2)
            axis.plot(row[m.VALUE], place, "o", color=BLUE, mfc=BLUE if not place else "white")
        labels = [f"{part}  ({n:,})" for part, n in rows.select(m.SLICE, m.N).iter_rows()]
        axis.set_yticks(range(rows.height), labels, color=INK)
        axis.set_ylim(rows.height - 0.4, -0.6)
        _format(axis.xaxis, name)
        axis.set_xlabel(f"{name}: {FIGURES[name].label} (bar: 95 % interval)", loc="left")
        return svg_text(canvas)


def drift_plot(latest: pl.DataFrame, threshold: Threshold | None) -> str:
    """PSI of the columns that have moved most in the latest window, with the thresholds."""
    moved = latest.filter(pl.col(m.FIGURE) == "psi", pl.col(m.VALUE).is_not_null())
    top = moved.sort([m.VALUE, m.SLICE], descending=[True, False]).head(MOST_COLUMNS)
    with style.context(_STYLE | {"svg.hashsalt": "drift", "axes.grid.axis": "x"}):
        canvas = Canvas(figsize=(10.4, 1.2 + 0.3 * max(top.height, 1)))
        axis = canvas.subplots()
        places = range(top.height)
        enough = [threshold is None or n >= threshold.minimum for n in top[m.N]]
        bars = axis.barh(places, top[m.VALUE], height=0.68)
        for bar, judged in zip(bars, enough, strict=True):
            bar.set(facecolor=BLUE if judged else "white", edgecolor=BLUE)
        labels = [in_words("psi", value) for value in top[m.VALUE]]
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.bar_label(bars, labels=labels, padding=4, color=SOFT, bbox=paper)
        names = [f"{name}  ({n:,})" for name, n in top.select(m.SLICE, m.N).iter_rows()]
        axis.set_yticks(places, names, color=INK)
        axis.set_ylim(top.height - 0.4, -0.6)
        for level, dashes in (("warning", "--"), ("alert", "-")):
            bounds = getattr(threshold, level, None)
            if bounds is not None and bounds.above is not None:
                axis.axvline(bounds.above, color=ORANGE, lw=1.4, ls=dashes, label=level, zorder=0)
        axis.margins(x=0.1)
        axis.set_xlabel("population stability index against the reference", loc="left")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right", frameon=False)
        return svg_text(canvas)


def _draw_series(axis: Axes, figures: pl.DataFrame, name: str) -> None:
    is_it = (pl.col(m.FIGURE) == name) & (pl.col(m.SLICE) == m.ALL)
    line = figures.filter(is_it).sort(m.WINDOW_END)
    latest = in_words(name, line[m.VALUE][-1] if line.height else None)
    axis.set_title(f"{name.replace('_', ' ')}\n{latest}")
    if line[m.VALUE].is_null().all():
        axis.text(0.5, 0.5, "not enough data", transform=axis.transAxes, ha="center", color=SOFT)
        axis.set(xticks=[], yticks=[])
        return
    times = line[m.WINDOW_END].to_numpy()
    value, low, high = (line[column].to_numpy() for column in (m.VALUE, m.LOW, m.HIGH))
    if np.isfinite(value[:-1]).any():
        axis.axhline(float(np.nanmedian(value[:-1])), color=SOFT, lw=1, ls="--", zorder=1)
    axis.vlines(times, low, high, color=FAINT, lw=4, zorder=1)
    axis.plot(times, value, color=BLUE, lw=1.4, marker="o", ms=3.6, mfc="white", zorder=2)
    axis.plot(times[-1:], value[-1:], "o", color=BLUE, ms=7, zorder=3, clip_on=False)
    axis.set_ylabel(UNITS[FIGURES[name].unit], fontsize=9)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.margins(y=0.15)
    axis.set_xlim(
        *figures.select(first=pl.col(m.WINDOW_START).min(), end=pl.col(m.WINDOW_END).max()).row(0)
    )
    if FIGURES[name].unit in FROM_ZERO:
        axis.set_ylim(bottom=0)
    _format(axis.yaxis, name)


def _format(axis: Any, name: str) -> None:
    if FIGURES[name].unit == "share":
        axis.set_major_formatter(PercentFormatter(1))
