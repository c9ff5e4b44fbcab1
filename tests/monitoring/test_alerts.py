import polars as pl
import pytest

from recsys_kedro.monitoring.alerts import (
    MonitoringAlerts,
    Status,
    judge,
    worst_status,
)
from recsys_kedro.monitoring.figures import Figure, figures_by_window
from recsys_kedro.monitoring.thresholds import Threshold
from recsys_kedro.monitoring.windows import Window, Windows


@pytest.fixture
def windows(hour):
    days = [Window(hour(24 * day), hour(24 * day + 24)) for day in range(4)]
    return Windows(days[-1], Window(hour(0), hour(72)), tuple(days[:-1]))


@pytest.fixture
def judged(windows):
    """The findings on a figure that was 0.1, 0.2, 0.9 (median 0.2) and is now as given."""

    def judged(now, name="ctr", before=(0.1, 0.2, 0.9), **threshold):
        earlier = [
            figures_by_window(
                [window], lambda _, value=value: [Figure(name, now.slice, value, 500)]
            )
            for window, value in zip(windows.earlier, before, strict=False)
        ]
        latest = figures_by_window([windows.latest], lambda _: [now])
        threshold = Threshold(**{"minimum": 100, **threshold})
        return judge(pl.concat([*earlier, latest]), windows, {name: threshold})

    return judged


def ctr(value, low=None, high=None, n=500, part="all"):
    return Figure("ctr", part, value, n, low, high)


FALL = {"warning": {"fall": 0.2}, "alert": {"fall": 0.5}}


@pytest.mark.parametrize(
    ("value", "status"),
    [(0.2, "fine"), (0.17, "fine"), (0.15, "warning"), (0.09, "alert"), (9.0, "fine")],
)
def test_relative_to_the_median_of_the_earlier_windows(judged, value, status):
    (finding,) = judged(ctr(value), **FALL)
    assert finding.status == status
    assert finding.reference == 0.2


@pytest.mark.parametrize(("value", "status"), [(0.1, "fine"), (0.11, "warning"), (0.3, "alert")])
def test_absolute(judged, value, status):
    now = Figure("psi", "events.price", value, 500)
    (finding,) = judged(now, "psi", warning={"above": 0.1}, alert={"above": 0.25})
    assert finding.status == status


def test_the_reason_names_bound_and_reference(judged):
    (finding,) = judged(ctr(0.09), **FALL)
    assert finding.sentence == "ctr is 9.00%, below 10.00% (reference 20.00%)"
    (finding,) = judged(ctr(0.2), alert={"above": 0.1})
    assert finding.sentence == "ctr is 20.00%, above 10.00%"


def test_too_few_observations_are_neither_fine_nor_alarming(judged):
    for value in (0.2, 0.0, None):
        (finding,) = judged(ctr(value, n=99), **FALL)
        assert finding.status is Status.NOT_ENOUGH_DATA
        assert finding.reason == "from 99 observations, 100 are needed"


@pytest.mark.parametrize(("high", "status"), [(0.099, "alert"), (0.14, "warning")])
def test_the_interval_has_to_be_beyond_the_bound(judged, high, status):
    (finding,) = judged(ctr(0.09, 0.01, high), **FALL)
    assert finding.status == status


def test_an_interval_over_the_bounds_cannot_be_told(judged):
    (finding,) = judged(ctr(0.09, 0.01, 0.17), **FALL)
    assert finding.status is Status.NOT_ENOUGH_DATA
    assert finding.reason == "below 10.00% (reference 20.00%), but it may be 1.00% to 17.00%"
    (finding,) = judged(ctr(0.3, 0.1, 0.5), alert={"above": 0.2})
    assert finding.status is Status.NOT_ENOUGH_DATA


def test_without_earlier_windows_only_absolute_bounds_judge(judged):
    (finding,) = judged(ctr(0.0), before=(), **FALL)
    assert finding.status is Status.NOT_ENOUGH_DATA
    assert "without a reference" in finding.reason
    (finding,) = judged(ctr(0.0), before=(), alert={"below": 0.1, "fall": 0.5})
    assert finding.status is Status.ALERT


def test_a_rise_from_nothing_is_a_rise(judged):
    threshold = {"warning": {"rise": 0.5}}
    (finding,) = judged(ctr(0.1, 0.05, 0.15), before=(0, 0, 0), **threshold)
    assert finding.status is Status.WARNING
    (finding,) = judged(ctr(0.0), before=(0, 0, 0), **threshold)
    assert finding.status is Status.FINE


def test_a_figure_that_is_not_there_is_not_fine(windows):
    nothing = figures_by_window([], lambda _: [])
    (finding,) = judge(nothing, windows, {"ctr": Threshold(minimum=0, alert={"above": 1})})
    assert (finding.status, finding.group, finding.value) == ("not enough data", "business", None)


def test_the_whole_is_judged_where_there_is_one_else_every_part(windows):
    figures = figures_by_window(
        [windows.latest],
        lambda _: [
            ctr(0.0),
            ctr(1.0, part="device_type=mobile"),
            Figure("psi", "events.price", 0.3, 500),
            Figure("psi", "events.category", 0.0, 500),
        ],
    )
    above = Threshold(minimum=1, alert={"above": 0.25})
    findings = judge(figures, windows, {"ctr": above, "psi": above})
    assert [(each.figure, each.slice, each.status.value) for each in findings] == [
        ("psi", "events.price", "alert"),
        ("ctr", "all", "fine"),
        ("psi", "events.category", "fine"),
    ]


@pytest.fixture
def alerts(judged, hour):
    def alerts(*values):
        findings = [finding for value in values for finding in judged(ctr(value), **FALL)]
        return MonitoringAlerts(
            shop="corner_shop",
            window_start=hour(0),
            window_end=hour(24),
            reference_start=hour(-24),
            status=worst_status(findings),
            findings=findings,
            examples=[],
        )

    return alerts


def test_the_status_is_the_worst(alerts):
    assert alerts().status is Status.FINE
    assert alerts(0.2, None).status is Status.NOT_ENOUGH_DATA
    assert alerts(0.2, None, 0.15).status is Status.WARNING
    assert alerts(0.15, 0.0, 0.2).status is Status.ALERT


def test_the_summary_counts_and_names_the_worst(alerts):
    assert alerts(0.0, 0.2, 0.2).summary == (
        "corner_shop, until 2025-03-04 00:00 UTC: 1 alert, 2 fine; "
        "ctr is 0.00%, below 10.00% (reference 20.00%)"
    )


def test_it_survives_its_file(alerts):
    written = alerts(0.0, None)
    assert MonitoringAlerts.model_validate_json(written.model_dump_json()) == written
