import math

import pytest

from recsys_kedro.experiments.off_policy import PolicyValue
from recsys_kedro.experiments.power import PlannedLength
from recsys_kedro.plotting.experiments import plot_clipping, plot_detectable_lifts, plot_estimates


def valued(value, *doubts):
    return PolicyValue(value, 0.1, value - 0.2, value + 0.2, 50.0, 5.0, 0.0, doubts)


def test_lengths_at_which_nothing_is_found_have_no_point():
    lengths = [PlannedLength(7, 10, math.inf, 0.0), PlannedLength(14, 20, 0.3, 0.1)]
    axes = plot_detectable_lifts({"daily": lengths}, "Revenue", wanted=0.05).axes[0]
    line, wanted = axes.lines
    assert list(line.get_xdata()) == [7, 14]
    assert not math.isfinite(line.get_ydata()[0])
    assert list(wanted.get_ydata()) == [0.05, 0.05]
    assert list(axes.get_xticks()) == [7, 14]


def test_a_doubtful_estimate_is_dotted_and_says_so():
    estimates = {"sure": valued(1.0), "far": valued(2.0, "too few rewards")}
    axes = plot_estimates(estimates, "clicks", {"sure": 1.1, "far": 2.2}).axes[0]
    sure, _, far, _, truth = axes.lines
    assert list(sure.get_xdata()) == pytest.approx([0.8, 1.2])
    assert (sure.get_linestyle(), far.get_linestyle()) == ("-", ":")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sure", "far (doubtful)"]
    assert list(truth.get_xdata()) == [1.1, 2.2]


def test_clipping_shows_values_above_sizes():
    values, sizes = plot_clipping([1, 10], [valued(1.0), valued(2.0)], 2.1, "clicks").axes
    assert [list(line.get_ydata()) for line in values.lines] == [[1.0, 2.0], [2.1, 2.1]]
    assert list(sizes.lines[0].get_ydata()) == [50, 50]
