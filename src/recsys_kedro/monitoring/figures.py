"""Every figure by name, with its group and unit, and the table that the figures make.

A new figure is one line in :data:`FIGURES` and whatever makes it; thresholds, report and
tracking know it by that line.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

import pandera.polars as pa
import polars as pl

from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.windows import Window
from recsys_kedro.schemas import UTC_TIME

Group: TypeAlias = Literal["business", "model", "system", "data", "drift", "skew"]
Unit: TypeAlias = Literal["share", "count", "money", "ms", "hours", "bits", "index", "number"]


class Kind(NamedTuple):
    """What a figure is; ``label`` says it in a few words for people."""

    group: Group
    unit: Unit
    label: str


class Figure(NamedTuple):
    """One figure of one window.

    Attributes:
        figure: its name in :data:`FIGURES`.
        slice: ``all``, or the part that it is about: ``device_type=mobile``.
        value: empty where the data does not give it.
        n: observations that it rests on: impressions, answers, events.
        low: of the 95 % interval, where there is one.
        high: likewise.
    """

    figure: str
    slice: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None


FIGURES: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "ctr": Kind("business", "share", "clicks per shown product"),
        "conversion": Kind("business", "share", "answers with a purchase"),
        "revenue_per_thousand_answers": Kind("business", "money", "revenue per 1,000 answers"),
        "revenue_per_thousand_impressions": Kind(
            "business", "money", "revenue per 1,000 shown products"
        ),
        "fallback_share": Kind("model", "share", "answers by a fallback"),
        "score_missing_share": Kind("model", "share", "products whose score is no number"),
        "score_spread": Kind("model", "number", "highest less lowest score of a list"),
        "click_lift": Kind("model", "index", "clicks against those that the positions explain"),
        "score_gain": Kind("model", "index", "click lift of high scores less that of low ones"),
        "source_share": Kind("model", "share", "shown products by what proposed them"),
        "coverage": Kind("model", "share", "catalogue that was shown"),
        "gini": Kind("model", "index", "concentration of what was shown, 0 even to 1"),
        "novelty": Kind("model", "bits", "self-information of what was shown"),
        "diversity": Kind("model", "share", "pairs of a list from different categories"),
        "answers": Kind("system", "count", "answers with products"),
        "users": Kind("system", "count", "users who got them"),
        "latency_p50": Kind("system", "ms", "half of the answers are faster"),
        "latency_p95": Kind("system", "ms", "19 of 20 answers are faster"),
        "latency_p99": Kind("system", "ms", "99 of 100 answers are faster"),
        "slow_share": Kind("system", "share", "answers that took too long"),
        "cached_share": Kind("system", "share", "answers out of the cache"),
        "failed_share": Kind("system", "share", "answers after an error of the model"),
        "events": Kind("data", "count", "events"),
        "missing_share": Kind("data", "share", "events without a value in the column"),
        "unknown_product_share": Kind("data", "share", "events with products new to the model"),
        "unknown_user_share": Kind("data", "share", "events of users new to the model"),
        "rejected_share": Kind("data", "share", "source rows that were refused"),
        "event_age": Kind("data", "hours", "since the newest event"),
        "model_data_age": Kind("data", "hours", "since the time of the model's tables"),
        "psi": Kind("drift", "index", "population stability index against the reference"),
        "matching_history_share": Kind("skew", "share", "answers with the history of the tables"),
        "missing_event_share": Kind("skew", "share", "past events that the model did not see"),
        "late_event_share": Kind("skew", "share", "newest events that had not reached it"),
        "unexpected_event_share": Kind("skew", "share", "seen events that no table has"),
        "price_difference_share": Kind("skew", "share", "seen events with another price"),
        "feature_difference_share": Kind("skew", "share", "answers with another user feature"),
    }
)

_FORMATS: Final[Mapping[Unit, str]] = MappingProxyType(
    {
        "share": "{:.2%}",
        "count": "{:,.0f}",
        "money": "{:,.2f}",
        "ms": "{:,.1f} ms",
        "hours": "{:,.1f} h",
        "bits": "{:.2f} bits",
        "index": "{:.2f}",
        "number": "{:.3g}",
    }
)

MONITORING_FIGURES: Final = pa.DataFrameSchema(
    {
        m.WINDOW_START: pa.Column(UTC_TIME, description="the window begins here"),
        m.WINDOW_END: pa.Column(UTC_TIME, description="and ends before this"),
        m.GROUP: pa.Column(pl.String, description="what kind of figure"),
        m.FIGURE: pa.Column(pl.String, pa.Check.isin(list(FIGURES)), description="its name"),
        m.SLICE: pa.Column(pl.String, description="all, or the part that it is about"),
        m.VALUE: pa.Column(
            pl.Float64, nullable=True, description="empty: the data does not give it"
        ),
        m.LOW: pa.Column(pl.Float64, nullable=True, description="of the 95 % interval, if any"),
        m.HIGH: pa.Column(pl.Float64, nullable=True, description="of the 95 % interval, if any"),
        m.N: pa.Column(pl.Int64, pa.Check.ge(0), description="observations that it rests on"),
    },
    name="monitoring_figures",
    description="One row per window, figure and slice, sorted by window, group, figure, slice.",
    unique=[m.WINDOW_START, m.FIGURE, m.SLICE],
    strict=True,
    ordered=True,
)


def figures_by_window(
    windows: Iterable[Window], measure: Callable[[Window], Iterable[Figure]]
) -> pl.DataFrame:
    """What ``measure`` finds in each window, as ``MONITORING_FIGURES``."""
    types = {name: column.dtype.type for name, column in MONITORING_FIGURES.columns.items()}
    rows = [
        {
            **each._asdict(),
            m.WINDOW_START: window.start,
            m.WINDOW_END: window.end,
            m.GROUP: FIGURES[each.figure].group,
        }
        for window in windows
        for each in measure(window)
    ]
    return pl.DataFrame(rows, schema=types)


def gathered(*tables: pl.DataFrame) -> pl.DataFrame:
    """All figures in one table, sorted by window, group, figure, slice."""
    return pl.concat(tables).sort(m.WINDOW_START, m.GROUP, m.FIGURE, m.SLICE)


def headlines_by_window(figures: pl.DataFrame) -> list[tuple[datetime, dict[str, float]]]:
    """(end of the window, figures by name) of each window, those without a value left out.

    A figure is ``<figure>`` of the slice ``all``, or ``<figure>/<slice>`` of every slice where it
    has none. Of a slice's name only letters, digits, dots, dashes and spaces stay.
    """
    whole = pl.col(m.SLICE) == m.ALL
    told = figures.filter(whole | ~whole.any().over(m.FIGURE), pl.col(m.VALUE).is_not_null())
    part = pl.col(m.SLICE).str.replace_all(r"[^\w.\- ]", "_")
    name = pl.when(whole).then(m.FIGURE).otherwise(pl.format("{}/{}", m.FIGURE, part))
    rows = told.select(m.WINDOW_END, name.alias("name"), m.VALUE).sort(m.WINDOW_END)
    return [
        (end, dict(of_window.select("name", m.VALUE).iter_rows()))
        for (end,), of_window in rows.partition_by(
            m.WINDOW_END, as_dict=True, maintain_order=True
        ).items()
    ]


def in_words(name: str, value: float | None) -> str:
    """The value of the figure with its unit; money is in the shop's currency."""
    return "n/a" if value is None else _FORMATS[FIGURES[name].unit].format(value)
