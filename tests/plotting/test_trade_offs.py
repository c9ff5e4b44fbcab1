import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.plotting.trade_offs import (
    plot_exploration_cost,
    plot_frontier,
    plot_source_recalls,
)


def test_a_frontier_has_a_line_per_method_and_a_panel_per_gain():
    frontier = pl.DataFrame(
        {
            "method": ["dpp", "dpp", "mmr", "mmr"],
            "strength": [1.0, 0.2, 0.5, 1.0],
            "ndcg": [0.1, 0.3, 0.2, 0.1],
            "distance": [0.9, 0.2, 0.5, 0.8],
            "categories": [9.0, 2.0, 5.0, 8.0],
            "coverage": [0.4, 0.1, 0.2, 0.3],
        }
    )
    panels = plot_frontier(frontier, "new products").axes
    assert len(panels) == 3
    dpp, mmr = panels[0].lines
    assert (list(dpp.get_xdata()), list(dpp.get_ydata())) == ([2.0, 9.0], [0.3, 0.1])
    assert list(mmr.get_xdata()) == [5.0, 8.0]
    assert [text.get_text() for text in panels[0].texts] == ["0.2", "1", "0.5", "1"]


def test_the_cost_of_exploration_is_against_none():
    cost = pl.DataFrame({"share": [0.0, 0.5], "ndcg": [0.4, 0.3]})
    axes = plot_exploration_cost({"all": cost, "new": cost}).axes[0]
    for line in axes.lines:
        assert list(line.get_ydata()) == pytest.approx([1, 0.3 / 0.4])
    assert "0.400 without, 75% of it" in axes.get_legend_handles_labels()[1][0]


def test_what_no_other_source_found_is_filled():
    recalls = pl.DataFrame(
        {
            c.SOURCE: ["history", "all"],
            "candidates": [12.4, 100.0],
            "recall": [0.3, 0.5],
            "only": [0.2, None],
        }
    )
    axes = plot_source_recalls({"All": recalls, "New": recalls}).axes[0]
    found, alone = axes.containers
    assert [bar.get_width() for bar in found] == [0.3, 0.5]
    assert [bar.get_width() for bar in alone] == [0.2, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["history  (12)", "all  (100)"]
