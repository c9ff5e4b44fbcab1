import pytest
from pages import assert_needs_nothing_but_itself

from recsys_kedro.monitoring.alerts import MonitoringAlerts, judge, worst_status
from recsys_kedro.monitoring.figures import Figure, figures_by_window, gathered
from recsys_kedro.monitoring.skew import SkewExample
from recsys_kedro.monitoring.windows import last_windows
from recsys_kedro.pipelines.monitoring.report import MOST_TOLD, SERIES, render_report
from recsys_kedro.pipelines.monitoring.table import monitoring_table

EXAMPLE = SkewExample(
    figure="price_difference_share",
    what="click of <b>p1</b>",
    recommendation_id="r1",
    user_id="u1",
    served="price 2.0",
    expected="price 1.0",
)


@pytest.fixture(scope="module")
def windows(options):
    """Eight days."""
    chosen, end = options(), options().as_of
    return last_windows(end - 9 * chosen.window, end, chosen.window, chosen.reference)


@pytest.fixture(scope="module")
def report(windows, options):
    """The page and the alerts on a CTR of 20 % that is now as given."""

    def report(now, shop="corner_shop", columns=("price",)):
        chosen = options()
        usual = figures_by_window(
            windows.earlier, lambda _: [Figure("ctr", "all", 0.2, 900, 0.19, 0.21)]
        )
        drift = [Figure("psi", f"events.{name}", 0.75, 900) for name in columns]
        latest = figures_by_window([windows.latest], lambda _: [now, *drift])
        figures = gathered(usual, latest)
        findings = judge(figures, windows, chosen.thresholds)
        alerts = MonitoringAlerts(
            shop=shop,
            window_start=windows.latest.start,
            window_end=windows.latest.end,
            reference_start=windows.reference.start,
            status=worst_status(findings),
            findings=findings,
            examples=[EXAMPLE],
        )
        return render_report(figures, alerts, chosen), alerts

    return report


@pytest.fixture(scope="module")
def page(report):
    return report(Figure("ctr", "all", 0.05, 900, 0.04, 0.06))[0]


def test_the_page_needs_nothing_but_itself(page):
    assert_needs_nothing_but_itself(page)


def test_it_says_what_is_wrong_with_which_figure(page):
    assert "Something is wrong" in page
    assert "<li>ctr is 5.00%, below 12.00% (reference 20.00%)</li>" in page
    assert "4.00% to 6.00%" in page
    assert page.count("<svg") == len(SERIES) + 2


def test_what_comes_from_the_log_is_no_markup(page):
    assert "click of &lt;b&gt;p1&lt;/b&gt;" in page


def test_the_same_figures_give_the_same_page(report):
    now = Figure("ctr", "all", 0.05, 900, 0.04, 0.06)
    assert report(now)[0] == report(now)[0]


def test_little_data_is_not_called_fine(report):
    page, alerts = report(Figure("ctr", "all", None, 0), columns=())
    assert alerts.status == "not enough data"
    assert "not all of it can be judged" in page


def test_many_alarms_are_told_in_the_table_only(report):
    columns = [f"c{number}" for number in range(MOST_TOLD + 3)]
    page, _ = report(Figure("ctr", "all", 0.2, 900), columns=columns)
    assert "and 3 more in the table below" in page


@pytest.mark.parametrize(("shop", "made_up"), [("simulated", True), ("corner_shop", False)])
def test_a_made_up_shop_is_called_simulated(report, shop, made_up):
    page, _ = report(Figure("ctr", "all", 0.2, 900), shop=shop)
    assert ("SIMULATED DATA" in page) == made_up


def test_the_terminal_shows_what_is_alarming_and_counts_the_rest(report):
    _, alerts = report(Figure("ctr", "all", 0.05, 900, 0.04, 0.06))
    table = monitoring_table(alerts)
    assert list(table.columns[1].cells) == ["ctr", "psi of events.price"]
    assert table.caption == "4 not enough data, 0 fine"
