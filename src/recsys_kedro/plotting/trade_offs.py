"""Charts of what diversity and exploration cost."""

from collections.abc import Mapping
from typing import Any, Final

import matplotlib.pyplot as plt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recsys_kedro import columns as c
from recsys_kedro.plotting import BLUE, ORANGE, SOFT

METHODS: Final = {
    "dpp": ("determinantal point process", BLUE, "-", "o"),
    "mmr": ("maximal marginal relevance", ORANGE, "--", "s"),
}
NAMED: Final = {"dpp": (0.2, 0.5, 1.0), "mmr": (0.5, 1.0)}  # strengths
GAINS: Final = {
    "categories": "different categories per list",
    "coverage": "products in any list, share of the catalogue",
    "distance": "mean distance within a list, 1 - cosine",
}


def plot_frontier(frontier: pl.DataFrame, task: str) -> Figure:
    """NDCG against what diversity buys; the points are strengths, see diversity_frontier."""
    figure, panels = plt.subplots(1, len(GAINS), figsize=(10.4, 3.9), sharey=True)
    for axes, (gain, label) in zip(panels, GAINS.items(), strict=True):
        _draw_frontier(axes, frontier, gain)
        axes.set_xlabel(label, fontsize=9)
        axes.locator_params(axis="x", nbins=5)
    panels[1].xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    panels[0].set(ylabel=f"NDCG@10, {task}", title="What diversity costs (small: strength)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_frontier(axes: Axes, frontier: pl.DataFrame, gain: str) -> None:
    for method, (label, colour, line, marker) in METHODS.items():
        points = frontier.filter(pl.col("method") == method).sort("strength")
        axes.plot(
            points[gain],
            points["ndcg"],
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=5,
            markerfacecolor="white",
            label=label,
        )
        for strength, x, y in points.select("strength", gain, "ndcg").iter_rows():
            if strength in NAMED[method]:
                axes.annotate(
                    f"{strength:g}",
                    (x, y),
                    xytext=(0, 6 if method == "dpp" else -12),
                    ha="center",
                    textcoords="offset points",
                    fontsize=8,
                    color=colour,
                )
    axes.margins(0.08, 0.12)


def plot_exploration_cost(costs: Mapping[str, pl.DataFrame]) -> Figure:
    """Expected NDCG by the share of explored slots, against that without; by task."""
    figure, axes = plt.subplots(figsize=(10, 3.8))
    for (task, cost), (_, colour, line, marker) in zip(
        costs.items(), METHODS.values(), strict=True
    ):
        kept = cost["ndcg"] / cost["ndcg"][0]
        axes.plot(
            cost["share"],
            kept,
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=6,
            markerfacecolor="white",
            label=f"{task}: {cost['ndcg'][0]:.3f} without, {kept[-1]:.0%} of it at the right end",
        )
    axes.set(title="What exploration costs", xlabel="share of slots that are drawn", ylim=(0, 1.05))
    axes.set_ylabel("expected NDCG@10,\nshare of that without exploration")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, loc="lower left", labelcolor=SOFT)
    return figure


def plot_source_recalls(recalls: Mapping[str, pl.DataFrame]) -> Figure:
    """What each source of candidates finds, and what it alone does, by task; see source_recalls."""
    sources = max(each.height for each in recalls.values())
    figure, panels = plt.subplots(1, len(recalls), figsize=(10, 1.6 + 0.42 * sources))
    for axes, (task, of_task) in zip(panels, recalls.items(), strict=True):
        _draw_source_recalls(axes, of_task)
        axes.set_title(task)
    panels[0].set_ylabel("source (candidates per user)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_source_recalls(axes: Axes, recalls: pl.DataFrame) -> None:
    places = range(recalls.height)
    bar: dict[str, Any] = {"height": 0.7, "edgecolor": BLUE}
    axes.barh(places, recalls["recall"], color="white", label="found", **bar)
    only = recalls["only"].fill_null(0.0)
    axes.barh(places, only, color=BLUE, label="found by no other source", **bar)
    counts = recalls.select(c.SOURCE, "candidates").iter_rows()
    axes.set_yticks(places, [f"{name}  ({count:,.0f})" for name, count in counts])
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("recall: share of what a user took", loc="left")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
