"""Charts of a shop's events."""

from collections.abc import Mapping
from typing import Any, Final

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recsys_kedro import columns as c
from recsys_kedro.plotting import BLUE, GOLD, GREEN, ORANGE, PURPLE, SOFT
from recsys_kedro.plotting.bars import plot_top
from recsys_kedro.plotting.labels import THOUSANDS, name_line, words

COLOURS: Final = {
    c.PURCHASE: BLUE,
    c.RETURN: ORANGE,
    c.ADD_TO_CART: GREEN,
    c.CLICK: PURPLE,
    c.PRODUCT_VIEW: GOLD,
}
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def plot_weekly_events(events: pl.DataFrame) -> Figure:
    """Events by calendar week and type; a week that the data covers in part is left out."""
    week = pl.col(c.TIMESTAMP).dt.truncate("1w")
    first, last = events.select(week.min().alias("first"), week.max().alias("last")).row(0)
    weekly = (
        events.with_columns(week=week)
        .filter(pl.col("week") > first, pl.col("week") < last)
        .group_by("week", c.EVENT_TYPE)
        .len("events")
        .sort("week")
    )
    figure, axes = plt.subplots(figsize=(10, 3.6))
    for kind in (kind for kind in c.EVENT_TYPES if kind in weekly[c.EVENT_TYPE]):
        line = weekly.filter(pl.col(c.EVENT_TYPE) == kind)
        axes.plot(line["week"], line["events"], color=COLOURS[kind], linewidth=2)
        name_line(axes, line["week"][-1], line["events"][-1], words(kind), COLOURS[kind])
    axes.set(title="Events by week", ylabel="events per week", ylim=(0, None))
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.margins(x=0.02)
    return figure


def plot_long_tails(events: pl.DataFrame) -> Figure:
    """How unevenly events fall on products and on users, each sorted by its events."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    keys = ((c.PRODUCT_ID, "products", BLUE), (c.USER_ID, "users", ORANGE))
    for axes, (key, things, colour) in zip(panels, keys, strict=True):
        _draw_long_tail(axes, events, key, things, colour)
    panels[0].set_ylabel("share of events, cumulative")
    return figure


def _draw_long_tail(axes: Axes, events: pl.DataFrame, key: str, things: str, colour: str) -> None:
    counts = np.sort(events[key].value_counts()["count"].to_numpy())[::-1]
    of_events = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    of_things = np.linspace(0, 1, len(of_events))
    top = float(np.interp(0.1, of_things, of_events))
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":")
    axes.plot(of_things, of_events, color=colour, linewidth=2)
    axes.plot([0.1], [top], "o", color=colour, markersize=7)
    axes.annotate(
        f"the top 10 % of {things}\nhave {top:.0%} of the events",
        (0.1, top),
        xytext=(14, -6),
        textcoords="offset points",
        va="top",
    )
    axes.set(title=f"{len(counts):,} {things}", xlabel=f"share of {things}, most active first")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def plot_baskets(events: pl.DataFrame, event_type: str = c.PURCHASE) -> Figure:
    """How many different products a session takes, and how many sessions a user has."""
    taken = events.filter(pl.col(c.EVENT_TYPE) == event_type)
    baskets = taken.group_by(c.SESSION_ID).agg(pl.col(c.PRODUCT_ID).n_unique().alias("size"))
    visits = taken.group_by(c.USER_ID).agg(pl.col(c.SESSION_ID).n_unique().alias("sessions"))
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6))
    _draw_doublings(panels[0], baskets["size"], "Basket sizes")
    _draw_doublings(panels[1], visits["sessions"], "Visits")
    panels[0].set(xlabel=f"products per session with a {words(event_type)}", ylabel="sessions")
    panels[1].set(xlabel=f"sessions with a {words(event_type)} per user", ylabel="users")
    return figure


def _draw_doublings(axes: Axes, values: pl.Series, title: str) -> None:
    """Bars of the counts at 1, 2-3, 4-7, … 64 and more: equal steps into a long tail."""
    names = ["1", "2-3", "4-7", "8-15", "16-31", "32-63", "64+"]
    doublings = np.log2(values.to_numpy()).astype(int).clip(max=len(names) - 1)
    axes.bar(names, np.bincount(doublings, minlength=len(names)), color=BLUE, width=0.8)
    axes.set_title(f"{title}: median {np.median(values.to_numpy()):g}")
    axes.yaxis.set_major_formatter(THOUSANDS)


def plot_repeat_share(events: pl.DataFrame, event_type: str = c.PURCHASE) -> Figure:
    """Per month: what share of events is on a product that the user had taken before."""
    month = pl.col(c.TIMESTAMP).dt.truncate("1mo")
    first = pl.col(c.TIMESTAMP).min().over(c.USER_ID, c.PRODUCT_ID)
    monthly = (
        events.filter(pl.col(c.EVENT_TYPE) == event_type)
        .with_columns(repeat=pl.col(c.TIMESTAMP) > first)
        .group_by(month.alias("month"))
        .agg(pl.col("repeat").mean())
        .sort("month")
    )
    figure, axes = plt.subplots(figsize=(10, 3.2))
    axes.plot(monthly["month"], monthly["repeat"], "o-", color=BLUE, linewidth=2)
    axes.set(
        title=f"Repeats: the user had a {words(event_type)} of the product before",
        ylabel=f"share of {words(event_type)}s",
        ylim=(0, None),
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def plot_hours(events: pl.DataFrame) -> Figure:
    """When people act: a heat map of weekday and hour."""
    time = pl.col(c.TIMESTAMP)
    counts = np.zeros((7, 24))
    slots = events.select(day=time.dt.weekday() - 1, hour=time.dt.hour())
    np.add.at(counts, (slots["day"].to_numpy(), slots["hour"].to_numpy()), 1)
    figure, axes = plt.subplots(figsize=(10, 3.4))
    image = axes.imshow(counts / counts.sum(), cmap="cividis", aspect="auto")
    axes.set(title="When: weekday and hour", xlabel="hour of the day, UTC", xticks=range(0, 24, 2))
    axes.set_yticks(range(7), WEEKDAYS)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), label="share of events")
    return figure


def plot_ingestion(report: Mapping[str, Any]) -> Figure:
    """What became of every row that was read, by reason. Takes ``ingestion_report``."""
    ends = {"kept": report["kept"]} | {
        f"{end}: {words(reason)}": count
        for end in ("excluded", "duplicates", "rejected")
        for reason, count in report[end].items()
        if count
    }
    table = pl.DataFrame({"end": list(ends), "rows": list(ends.values())})
    title = f"What became of {report['rows_read']:,} rows"
    return plot_top(table, "end", "rows", title, "rows of the source")
