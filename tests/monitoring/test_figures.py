import pytest

from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import (
    MONITORING_FIGURES,
    Figure,
    figures_by_window,
    gathered,
    in_words,
)
from recsys_kedro.monitoring.windows import Window


def test_one_row_per_window_and_figure(hour):
    windows = [Window(hour(24), hour(48)), Window(hour(0), hour(24))]
    one = figures_by_window(windows, lambda window: [Figure("events", "all", 2, 2)])
    other = figures_by_window(windows[:1], lambda _: [Figure("ctr", "all", None, 0, None, 0.5)])
    table = MONITORING_FIGURES.validate(gathered(one, other))
    columns = [m.WINDOW_START, m.GROUP, m.FIGURE, m.VALUE, m.HIGH, m.N]
    assert table.select(columns).rows() == [
        (hour(0), "data", "events", 2.0, None, 2),
        (hour(24), "business", "ctr", None, 0.5, 0),
        (hour(24), "data", "events", 2.0, None, 2),
    ]


def test_nothing_measured_is_a_table_all_the_same():
    assert figures_by_window([], lambda _: []).columns == list(MONITORING_FIGURES.columns)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ctr", 0.01234, "1.23%"),
        ("events", 12_345.0, "12,345"),
        ("latency_p99", 99.96, "100.0 ms"),
        ("psi", 0.256, "0.26"),
        ("psi", None, "n/a"),
    ],
)
def test_values_have_their_unit(name, value, words):
    assert in_words(name, value) == words
