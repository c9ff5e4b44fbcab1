"""Nodes of the monitoring: each measures one group of figures, the last ones judge and tell."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.metrics.beyond_accuracy import make_catalogue
from recsys_kedro.monitoring.alerts import (
    MonitoringAlert,
    MonitoringAlerts,
    Status,
    is_alarming,
    judge,
    worst_status,
)
from recsys_kedro.monitoring.answers import answers_of, followed
from recsys_kedro.monitoring.business import business_figures
from recsys_kedro.monitoring.data import age_figures, event_figures, rejection_figures
from recsys_kedro.monitoring.drift import drift_figures, watched_columns
from recsys_kedro.monitoring.figures import Figure, figures_by_window, gathered
from recsys_kedro.monitoring.model import model_figures
from recsys_kedro.monitoring.skew import (
    SkewExample,
    compared_histories,
    compared_profiles,
    history_figures,
    profile_figures,
    worst_examples,
)
from recsys_kedro.monitoring.stability import Distribution
from recsys_kedro.monitoring.system import system_figures
from recsys_kedro.monitoring.webhook import post_alerts
from recsys_kedro.monitoring.windows import Window, Windows, last_windows
from recsys_kedro.pipelines.monitoring.options import MonitoringOptions
from recsys_kedro.pipelines.monitoring.report import render_report
from recsys_kedro.splits import TimeSplit

LOGGER = logging.getLogger(__name__)

MICROSECOND = pl.duration(microseconds=1)
FAILING: Final[Mapping[str, tuple[Status, ...]]] = MappingProxyType(
    {"never": (), "alert": (Status.ALERT,), "warning": (Status.ALERT, Status.WARNING)}
)


class Skew(NamedTuple):
    """The figures of train-serve skew, and answers that show it."""

    figures: pl.DataFrame
    examples: list[SkewExample]


def plan_windows(impressions: pl.DataFrame, options: MonitoringOptions) -> Windows:
    """The windows up to ``options.as_of``, or just after the last impression.

    Raises:
        ValueError: if nothing was shown before that.
    """
    time = pl.col(c.TIMESTAMP)
    past = impressions if options.as_of is None else impressions.filter(time < options.as_of)
    first, end = past.select(first=time.min(), end=time.max() + MICROSECOND).row(0)
    if first is None:
        msg = (
            f"impressions: none of {impressions.height:,} rows is before monitoring.as_of "
            f"({options.as_of}). Correct it, or let the server log impressions first"
        )
        raise ValueError(msg)
    return last_windows(first, options.as_of or end, options.window, options.reference)


def follow_impressions(
    impressions: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    windows: Windows,
    options: MonitoringOptions,
) -> pl.DataFrame:
    """The impressions of all windows with what followed within the same window."""
    return pl.concat(
        followed(impressions, events, products, window, options.attribution)
        for window in windows.all
    )


def measure_business(shown: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """CTR, conversion and revenue by window."""
    return figures_by_window(
        windows.all, lambda window: business_figures(answers_of(window.of(shown)))
    )


def measure_model(
    shown: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    split: TimeSplit,
    windows: Windows,
) -> pl.DataFrame:
    """Scores, fallbacks, sources and variety by window.

    The catalogue is that of the latest window's start for all windows, so that they compare.
    """
    start = windows.latest.start
    catalogue = make_catalogue(events, products, start, split.target_event_types)

    def measure(window: Window) -> list[Figure]:
        rows = window.of(shown)
        return model_figures(rows, answers_of(rows), catalogue)

    return figures_by_window(windows.all, measure)


def measure_system(
    shown: pl.DataFrame, windows: Windows, options: MonitoringOptions
) -> pl.DataFrame:
    """Volume, latency and failures by window."""
    return figures_by_window(
        windows.all,
        lambda window: system_figures(
            answers_of(window.of(shown)), options.slow_ms, options.failures
        ),
    )


def measure_data(
    events: pl.DataFrame,
    product_features: pl.DataFrame,
    user_features: pl.DataFrame,
    ingestion_report: dict[str, Any],
    split: TimeSplit,
    windows: Windows,
) -> pl.DataFrame:
    """Events by window; refused rows and ages of the latest window only.

    ``product_features`` and ``user_features`` say whom and what the model's tables know.
    """
    known = product_features[c.PRODUCT_ID], user_features[c.USER_ID]
    by_window = figures_by_window(
        windows.all, lambda window: event_figures(window.of(events), *known)
    )
    now = [
        *rejection_figures(ingestion_report),
        *age_figures(windows.latest.end, events, split.as_of),
    ]
    return pl.concat([by_window, figures_by_window([windows.latest], lambda _: now)])


def measure_drift(
    shown: pl.DataFrame, served_inputs: pl.DataFrame, events: pl.DataFrame, windows: Windows
) -> pl.DataFrame:
    """How far each watched column is from the whole reference, by window."""
    inputs = _with_times(served_inputs, shown)

    def watched(window: Window) -> dict[str, pl.Series]:
        rows = window.of(shown)
        return watched_columns(window.of(events), rows, answers_of(rows), window.of(inputs))

    reference = {
        name: Distribution.of(values) for name, values in watched(windows.reference).items()
    }
    return figures_by_window(windows.all, lambda window: drift_figures(reference, watched(window)))


def measure_skew(
    shown: pl.DataFrame,
    served_inputs: pl.DataFrame,
    events: pl.DataFrame,
    user_features: pl.DataFrame,
    split: TimeSplit,
    windows: Windows,
) -> Skew:
    """What the model was given against the tables, by window, with examples of the latest.

    Histories are made again as of each answer. Profiles are compared for answers at or after
    ``split.as_of``, the time of ``user_features``: earlier ones had the features of another time.
    """
    inputs = _with_times(served_inputs, shown)
    histories = compared_histories(inputs, events, split.as_of)
    profiles = compared_profiles(inputs.filter(pl.col(c.AS_OF) >= split.as_of), user_features)
    figures = figures_by_window(
        windows.all,
        lambda window: [
            *history_figures(window.of(inputs), histories),
            *profile_figures(window.of(inputs), profiles),
        ],
    )
    latest = windows.latest.of(inputs)
    examples = worst_examples(
        *(table.join(latest, on=c.RECOMMENDATION_ID, how="semi") for table in (histories, profiles))
    )
    return Skew(figures, examples)


def _with_times(served_inputs: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """The inputs of these answers, with the ``timestamp`` of the answer."""
    times = shown.select(c.RECOMMENDATION_ID, c.TIMESTAMP).unique()
    return served_inputs.join(times, on=c.RECOMMENDATION_ID)


def gather_figures(
    business: pl.DataFrame,
    model: pl.DataFrame,
    system: pl.DataFrame,
    data: pl.DataFrame,
    drift: pl.DataFrame,
    skew: Skew,
) -> pl.DataFrame:
    """All figures in one table, see ``MONITORING_FIGURES``."""
    return gathered(business, model, system, data, drift, skew.figures)


def judge_window(
    figures: pl.DataFrame, skew: Skew, windows: Windows, options: MonitoringOptions, shop: str
) -> MonitoringAlerts:
    """The latest window against the thresholds and the reference."""
    findings = judge(figures, windows, options.thresholds)
    return MonitoringAlerts(
        shop=shop,
        window_start=windows.latest.start,
        window_end=windows.latest.end,
        reference_start=windows.reference.start,
        status=worst_status(findings),
        findings=findings,
        examples=skew.examples,
    )


def report_monitoring(
    figures: pl.DataFrame, alerts: MonitoringAlerts, options: MonitoringOptions
) -> str:
    """The figures and what is alarming as a self-contained HTML page."""
    return render_report(figures, alerts, options)


def raise_alarm(
    alerts: MonitoringAlerts, monitoring_report: str, options: MonitoringOptions
) -> None:
    """Tell the webhook, then fail the run where the options want it.

    ``monitoring_report`` is not read: it makes a run write its report first. A webhook that does
    not answer is an error in the log and changes nothing else.

    Raises:
        MonitoringAlert: the status is at least ``options.fail_on``.
    """
    if is_alarming(alerts.status) and options.webhook_url is not None:
        try:
            post_alerts(alerts, options.webhook_url.get_secret_value())
        except ConnectionError as error:
            LOGGER.error("%s", error)
    if alerts.status in FAILING[options.fail_on]:
        raise MonitoringAlert(alerts.summary)
