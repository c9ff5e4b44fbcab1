"""Charts of features: how they are distributed, what they say, how they change."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recsys_kedro.plotting import BLUE, INK, ORANGE
from recsys_kedro.plotting.labels import number, shortened, words

PANELS_PER_ROW: Final = 3
BINS: Final = 24
LONG_TAIL: Final = 20  # times the median, from which on steps of equal factors show more
LINES: Final = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ("-", "v"))


def plot_distributions(
    table: pl.DataFrame, features: Sequence[str], meanings: Mapping[str, str]
) -> Figure:
    """How many rows have which value; what has none, or 0, is in the title only.

    Args:
        table: one row per user, or per product.
        features: its columns that are shown.
        meanings: what they are, by name, with their unit.
    """
    figure, panels = _panels(len(features), height=2.6)
    for axes, name in zip(panels, features, strict=False):
        _draw_distribution(axes, table[name].cast(pl.Float64), words(name))
        axes.set_xlabel(shortened(meanings[name], 46), fontsize=8, loc="left")
    for axes in panels[::PANELS_PER_ROW]:
        axes.set_ylabel("share of rows")
    return figure


def _draw_distribution(axes: Axes, column: pl.Series, name: str) -> None:
    values = column.drop_nulls().drop_nans().to_numpy()
    shown = values[values != 0]
    rest = {"empty": len(column) - len(values), "0": len(values) - len(shown)}
    notes = [f"{kind} in {count / len(column):.1%}" for kind, count in rest.items() if count]
    axes.set_title(name + (f"\n{', '.join(notes)}" if notes else ""), fontsize=10)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if not len(shown):
        axes.set(xticks=[], yticks=[])
        return
    low, high = float(shown.min()), float(shown.max())
    logarithmic = low > 0 and high > LONG_TAIL * np.median(shown)
    edges = np.geomspace(low, high, BINS) if logarithmic else np.linspace(low, high, BINS)
    if low == high:
        edges = np.array([low - 0.5, low + 0.5])
    axes.hist(shown, edges.tolist(), weights=np.full(len(shown), 1 / len(column)), color=BLUE)
    if logarithmic:
        axes.set_xscale("log")


def plot_lifts(lifts: pl.DataFrame) -> Figure:
    """How much oftener than usual a candidate is taken, by bin of each feature; see pair_lifts."""
    features = lifts["feature"].unique(maintain_order=True).to_list()
    figure, panels = _panels(len(features), height=2.7)
    for axes, name in zip(panels, features, strict=False):
        _draw_lift(axes, lifts.filter(pl.col("feature") == name), name)
    for axes in panels[::PANELS_PER_ROW]:
        axes.set_ylabel("taken, times the average")
    return figure


def _draw_lift(axes: Axes, bins: pl.DataFrame, name: str) -> None:
    places = range(bins.height)
    bars = axes.bar(places, bins["lift"], color=BLUE, edgecolor=BLUE, width=0.78)
    silent = [low == high == 0 for low, high in bins.select("low", "high").iter_rows()]
    for bar, nothing in zip(bars, silent, strict=True):
        if nothing:
            bar.set(facecolor="white", hatch="///")
    axes.axhline(1, color=INK, linewidth=1)
    labels = [
        "0" if nothing else _short(high) for nothing, high in zip(silent, bins["high"], strict=True)
    ]
    axes.set_xticks(places, labels, fontsize=8, rotation=45)
    axes.set_title(words(name), fontsize=10)
    axes.set_xlabel("up to", fontsize=8, loc="left")


def plot_over_time(
    snapshots: pl.DataFrame,
    time: str,
    key: str,
    feature: str,
    meaning: str,
    names: Mapping[str, str],
    marks: Mapping[str, datetime],
) -> Figure:
    """One feature as of many times: a line for each of the ``names``.

    Args:
        snapshots: ``time``, ``key`` and the feature.
        time: column of the times.
        key: column of the ids.
        feature: what is shown.
        meaning: what it is, with its unit.
        names: label by id; at most five.
        marks: times to be marked, by name.
    """
    figure, axes = plt.subplots(figsize=(10, 3.8))
    for (line, marker), (id_, label) in zip(LINES, names.items(), strict=False):
        one = snapshots.filter(pl.col(key) == id_).sort(time)
        axes.plot(
            one[time],
            one[feature],
            color=BLUE,
            linestyle=line,
            marker=marker,
            markersize=5,
            markerfacecolor="white",
            label=shortened(label, 34),
        )
    for name, at in marks.items():
        upright = axes.get_xaxis_transform()
        axes.plot(
            pl.Series([at, at]),
            [0, 1],
            color=ORANGE,
            linewidth=1.4,
            linestyle="--",
            transform=upright,
        )
        axes.annotate(
            name,
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            rotation=90,
            va="top",
            color=ORANGE,
            fontsize=9,
        )
    axes.set(title=words(feature), ylabel=meaning, xlabel="as of", ylim=(0, None))
    axes.margins(y=0.2)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    rows = -(-count // PANELS_PER_ROW)
    figure, grid = plt.subplots(
        rows, PANELS_PER_ROW, figsize=(10, height * rows), squeeze=False, sharey=False
    )
    panels = list(grid.ravel())
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels


def _short(value: float) -> str:
    return number(value) if abs(value) >= 100 else f"{value:.2g}"
