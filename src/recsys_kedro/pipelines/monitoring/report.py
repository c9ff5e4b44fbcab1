"""The monitoring as one HTML page that needs nothing else: no network, no other file."""

from typing import Final, NamedTuple

import polars as pl
from markupsafe import Markup

from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.alerts import MonitoringAlerts, Status
from recsys_kedro.monitoring.figures import FIGURES, in_words
from recsys_kedro.pipelines.monitoring.options import MonitoringOptions
from recsys_kedro.pipelines.monitoring.report_plots import drift_plot, part_plot, series_plot
from recsys_kedro.report_pages import render_page

MOST_TOLD: Final = 8  # alarms in the heading; the table has all
SYMBOLS: Final = {
    Status.ALERT: "\N{BLACK UP-POINTING TRIANGLE}",
    Status.WARNING: "\N{BLACK DIAMOND}",
    Status.NOT_ENOUGH_DATA: "?",
    Status.FINE: "\N{CHECK MARK}",
}
TITLES: Final = {
    Status.ALERT: "Something is wrong",
    Status.WARNING: "Something may be wrong",
    Status.NOT_ENOUGH_DATA: "Nothing alarming, but not all of it can be judged",
    Status.FINE: "All that is watched is as usual",
}
SERIES: Final = {
    "business": ("ctr", "conversion", "revenue_per_thousand_answers"),
    "model": (
        "fallback_share", "score_spread", "score_gain", "coverage", "novelty", "diversity",
    ),
    "system": (
        "answers", "latency_p50", "latency_p99", "slow_share", "cached_share", "failed_share",
    ),
    "data": ("events", "unknown_product_share", "unknown_user_share"),
    "skew": ("missing_event_share", "late_event_share", "feature_difference_share"),
}  # fmt: skip


class Row(NamedTuple):
    """A figure of the latest window as a line of a table."""

    figure: str
    label: str
    part: str
    value: str
    interval: str
    n: int


def render_report(
    figures: pl.DataFrame, alerts: MonitoringAlerts, options: MonitoringOptions
) -> str:
    """The page. Same figures, alerts and options, same text.

    Args:
        figures: ``MONITORING_FIGURES``.
        alerts: the judged latest window.
        options: how the figures were made.
    """
    latest = figures.filter(pl.col(m.WINDOW_END) == alerts.window_end)
    plots = {name: Markup(series_plot(figures, names)) for name, names in SERIES.items()}
    plots["parts"] = Markup(part_plot(latest, "ctr"))
    plots["drift"] = Markup(drift_plot(latest, options.thresholds.get("psi")))
    return render_page(
        __package__,
        alerts.shop,
        alerts=alerts,
        title=TITLES[alerts.status],
        counts={status: alerts.count(status) for status in Status},
        most_told=MOST_TOLD,
        symbols=SYMBOLS,
        kinds=FIGURES,
        in_words=in_words,
        options=options,
        plots=plots,
        tables=_tables(latest),
        windows=figures[m.WINDOW_START].n_unique(),
    )


def _tables(latest: pl.DataFrame) -> dict[str, list[Row]]:
    """Every figure of the latest window, by group."""
    tables: dict[str, list[Row]] = {kind.group: [] for kind in FIGURES.values()}
    for row in latest.iter_rows(named=True):
        figure, low, high = row[m.FIGURE], row[m.LOW], row[m.HIGH]
        ends = None if low is None else f"{in_words(figure, low)} to {in_words(figure, high)}"
        tables[row[m.GROUP]].append(
            Row(
                figure,
                FIGURES[figure].label,
                row[m.SLICE],
                in_words(figure, row[m.VALUE]),
                ends or "",
                row[m.N],
            )
        )
    return tables
