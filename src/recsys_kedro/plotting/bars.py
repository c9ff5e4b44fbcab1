"""Bars by name, and the tables that they show."""

import matplotlib.pyplot as plt
import polars as pl
from matplotlib.figure import Figure

from recsys_kedro import columns as c
from recsys_kedro.plotting import BLUE, INK, SOFT
from recsys_kedro.plotting.labels import THOUSANDS, number, shortened


def plot_top(table: pl.DataFrame, label: str, value: str, title: str, unit: str) -> Figure:
    """Horizontal bars of ``value`` by ``label``, in the order of the table."""
    names = [shortened(str(name)) for name in table[label].fill_null("without").to_list()]
    figure, axes = plt.subplots(figsize=(10, 0.6 + 0.34 * max(len(names), 2)))
    bars = axes.barh(range(len(names)), table[value], color=BLUE, height=0.7)
    axes.bar_label(bars, labels=[number(amount) for amount in table[value]], padding=4, color=SOFT)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.set(title=title, xlabel=unit)
    axes.margins(x=0.1, y=0.02)
    return figure


def top_counts(events: pl.DataFrame, products: pl.DataFrame, label: str, most: int) -> pl.DataFrame:
    """The most frequent values of a product's column, most first.

    Args:
        events: the events to count.
        products: their products, with ``label``.
        label: the column to count by, e.g. ``category``.
        most: how many rows come back.

    Returns:
        ``label``, ``events`` and ``percent`` of all ``events``.
    """
    return (
        events.select(c.PRODUCT_ID)
        .join(products.select(c.PRODUCT_ID, label), on=c.PRODUCT_ID, how="left")
        .group_by(label)
        .len("events")
        .with_columns(percent=100 * pl.col("events") / events.height)
        .sort(["events", label], descending=[True, False])
        .head(most)
    )
