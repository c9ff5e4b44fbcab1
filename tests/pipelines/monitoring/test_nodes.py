from datetime import timedelta
from functools import cache

import pytest

from recsys_kedro import columns as c
from recsys_kedro.monitoring.alerts import MonitoringAlert, Status
from recsys_kedro.pipelines.monitoring import nodes

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="session")
def judged(plant, options):
    """The alerts of a day that differs as given."""

    @cache
    def judged(**different):
        log, chosen = plant(**different), options()
        windows = nodes.plan_windows(log.impressions, chosen)
        shown = nodes.follow_impressions(log.impressions, log.events, log.products, windows, chosen)
        skew = nodes.measure_skew(
            shown, log.served_inputs, log.events, log.user_features, log.split, windows
        )
        figures = nodes.gather_figures(
            nodes.measure_business(shown, windows),
            nodes.measure_model(shown, log.events, log.products, log.split, windows),
            nodes.measure_system(shown, windows, chosen),
            nodes.measure_data(
                log.events,
                log.product_features,
                log.user_features,
                log.ingestion_report,
                log.split,
                windows,
            ),
            nodes.measure_drift(shown, log.served_inputs, log.events, windows),
            skew,
        )
        return nodes.judge_window(figures, skew, windows, chosen, "corner_shop")

    return judged


def alarming(alerts):
    return {(each.figure, each.slice) for each in alerts.alarming}


# The log is young: its users' histories grow from day to day.
GROWS = {("psi", "answers.history_length")}


def test_a_day_like_the_others_is_fine(judged):
    alerts = judged()
    assert alarming(alerts) <= GROWS
    assert alerts.examples == []


@pytest.mark.parametrize(
    ("different", "found"),
    [
        ({"ctr": 0.05}, ("ctr", "all")),
        ({"latency_ms": 150.0}, ("latency_p99", "all")),
        ({"price_factor": 20.0}, ("psi", "events.price")),
        ({"feature": ("avg_purchase_price", 99.0)}, ("psi", "profiles.avg_purchase_price")),
    ],
)
def test_what_is_planted_is_found(judged, different, found):
    assert found in alarming(judged(**different))


@pytest.mark.parametrize(
    ("different", "figure", "what"),
    [
        ({"served_price_factor": 1.5}, "price_difference_share", " of p"),
        ({"forget_every": 3}, "missing_event_share", " of p"),
        ({"feature": ("peak_hour", 25)}, "feature_difference_share", "peak_hour"),
    ],
)
def test_planted_skew_is_found_and_an_answer_named(judged, different, figure, what):
    alerts = judged(**different)
    assert (figure, "all") in alarming(alerts)
    (example,) = [each for each in alerts.examples if each.figure == figure]
    assert what in example.what
    assert example.recommendation_id.startswith("r4")  # of the last day: 420 to 479


def test_windows_end_just_after_the_last_impression(plant, options):
    log = plant()
    last = log.impressions[c.TIMESTAMP].max()
    assert nodes.plan_windows(log.impressions, options(as_of=None)).latest.end == last + MICROSECOND


def test_a_time_before_the_log_is_an_error(plant, options):
    log = plant()
    early = options(as_of=log.impressions[c.TIMESTAMP].min())
    with pytest.raises(ValueError, match=r"none of 2,400 rows is before monitoring\.as_of"):
        nodes.plan_windows(log.impressions, early)


@pytest.mark.parametrize(
    ("status", "fail_on", "raises"),
    [
        (Status.ALERT, "alert", True),
        (Status.WARNING, "alert", False),
        (Status.WARNING, "warning", True),
        (Status.ALERT, "warning", True),
        (Status.NOT_ENOUGH_DATA, "warning", False),
        (Status.ALERT, "never", False),
    ],
)
def test_what_fails_the_run_is_an_option(judged, options, status, fail_on, raises):
    alerts = judged().model_copy(update={"status": status})
    chosen = options(fail_on=fail_on)
    if not raises:
        nodes.raise_alarm(alerts, "<html>", chosen)
        return
    with pytest.raises(MonitoringAlert, match="corner_shop, until 2025-03-11 00:00 UTC"):
        nodes.raise_alarm(alerts, "<html>", chosen)


def test_a_webhook_that_is_down_is_logged_and_the_alarm_goes_on(judged, options, caplog):
    chosen = options(webhook_url="http://127.0.0.1:1/secret")
    alerts = judged().model_copy(update={"status": Status.ALERT})
    with pytest.raises(MonitoringAlert):
        nodes.raise_alarm(alerts, "<html>", chosen)
    assert "could not be delivered" in caplog.text
    assert "secret" not in caplog.text


def test_nobody_is_told_of_a_fine_day(judged, options, caplog):
    chosen = options(webhook_url="http://127.0.0.1:1/secret")
    nodes.raise_alarm(judged().model_copy(update={"status": Status.FINE}), "<html>", chosen)
    assert caplog.text == ""
