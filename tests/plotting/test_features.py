from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_kedro.plotting.features import plot_distributions, plot_lifts, plot_over_time

LIFTS = pl.DataFrame(
    {
        "feature": ["price"] * 3,
        "bin": [0, 1, 2],
        "low": [0.0, 1.0, 3.0],
        "high": [0.0, 2.0, 1234.0],
        "lift": [0.5, 1.0, 2.0],
    }
)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def test_what_has_no_value_is_in_the_title_and_not_in_the_bars():
    table = pl.DataFrame({"some_price": [None, 0.0, 1.0, 2.0]})
    figure = plot_distributions(table, ["some_price"], {"some_price": "shop's currency"})
    assert titles(figure) == ["some price\nempty in 25.0%, 0 in 25.0%"]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert sum(heights) == pytest.approx(2 / 4)
    assert figure.axes[0].get_xlabel() == "shop's currency"


def test_a_long_tail_gets_a_logarithmic_axis():
    table = pl.DataFrame({"long": [1.0] * 9 + [1000.0], "short": [1.0] * 9 + [2.0]})
    long, short, _ = plot_distributions(
        table, ["long", "short"], dict.fromkeys(table.columns, "")
    ).axes
    assert (long.get_xscale(), short.get_xscale()) == ("log", "linear")


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [None, None], [3.0, 3.0]])
def test_columns_without_any_spread_are_drawn_too(values):
    table = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    axes = plot_distributions(table, ["x"], {"x": ""}).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(float(3.0 in values))


def test_the_bin_that_says_nothing_is_hatched():
    axes = plot_lifts(LIFTS).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 1, 2]
    assert [bar.get_hatch() for bar in axes.patches] == ["///", None, None]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "1,234"]


def test_one_line_per_name_in_the_order_of_time():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    table = pl.DataFrame(
        {
            "at": [start + timedelta(days=day) for day in (1, 0, 0)],
            "id": ["a", "a", "b"],
            "sold": [5, 3, 9],
        }
    )
    axes = plot_over_time(table, "at", "id", "sold", "pieces", {"a": "A"}, {"cut": start}).axes[0]
    line, mark = axes.lines
    assert list(line.get_ydata()) == [3, 5]
    assert axes.get_legend_handles_labels()[1] == ["A"]
    assert axes.get_ylabel() == "pieces"
    assert [text.get_text() for text in axes.texts] == ["cut"]
    assert list(mark.get_ydata()) == [0, 1]  # all of the height
