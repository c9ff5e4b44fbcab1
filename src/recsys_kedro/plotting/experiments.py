"""Charts for planning experiments, and of what policies would have earned."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from recsys_kedro.experiments.off_policy import PolicyValue
from recsys_kedro.experiments.power import PlannedLength
from recsys_kedro.plotting import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE
from recsys_kedro.plotting.labels import THOUSANDS

LOOKS: Final = (BLUE, ORANGE, GREEN, PURPLE)
LINES: Final = ("-", "--", "-.", ":")
MARKERS: Final = ("o", "s", "^", "D")


def plot_detectable_lifts(
    lengths: Mapping[str, Sequence[PlannedLength]], title: str, wanted: float
) -> Figure:
    """The least lift that an experiment finds, by its length; one line per way to run it.

    A length at which no lift at all is found has no point.

    Args:
        lengths: by the name of the way.
        title: what is measured.
        wanted: a lift to be marked.
    """
    figure, axes = plt.subplots(figsize=(10, 4))
    for (name, planned), colour, line, marker in zip(
        lengths.items(), LOOKS, LINES, MARKERS, strict=False
    ):
        days = [each.days for each in planned]
        lift = [each.detectable_lift for each in planned]
        axes.plot(
            days,
            lift,
            color=colour,
            linestyle=line,
            marker=marker,
            markerfacecolor="white",
            label=name,
        )
    axes.axhline(wanted, color=INK, linewidth=1)
    axes.annotate(
        f"a lift of {wanted:.0%}",
        (1, wanted),
        xycoords=("axes fraction", "data"),
        ha="right",
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=9,
    )
    axes.set(title=title, xlabel="length of the experiment, days", yscale="log")
    axes.set_ylabel("least lift that is found (logarithmic)")
    axes.set_xticks(sorted({each.days for planned in lengths.values() for each in planned}))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    return figure


def plot_estimates(
    estimates: Mapping[str, PolicyValue],
    unit: str,
    compared: Mapping[str, float],
    compared_with: str = "truth",
) -> Figure:
    """Values of policies with their intervals; dotted and open where they are doubtful.

    Args:
        estimates: by name.
        unit: of the values.
        compared: values that are marked beside them, by the same names.
        compared_with: what those are.
    """
    figure, axes = plt.subplots(figsize=(10, 1.4 + 0.46 * len(estimates)))
    for row, estimate in enumerate(estimates.values()):
        line, face = (":", "white") if estimate.doubts else ("-", BLUE)
        ends = [estimate.low, estimate.high]
        axes.plot(ends, [row, row], color=BLUE, linewidth=2.4, linestyle=line)
        axes.plot(estimate.value, row, "o", color=BLUE, markerfacecolor=face)
    look: dict[str, Any] = {"marker": "|", "markersize": 18, "markeredgewidth": 2.4}
    values = [compared[name] for name in estimates]
    axes.plot(values, range(len(values)), color=ORANGE, linestyle="", label=compared_with, **look)
    figure.legend(loc="outside lower right", frameon=False)
    names = [f"{name}{' (doubtful)' if each.doubts else ''}" for name, each in estimates.items()]
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set(title="What the policy would have earned", xlabel=f"{unit} (bar: interval)")
    return figure


def plot_clipping(
    clips: Sequence[float], estimates: Sequence[PolicyValue], truth: float, unit: str
) -> Figure:
    """The estimate, with its interval, by the largest weight that is let through."""
    figure, (values, sizes) = plt.subplots(2, 1, figsize=(10, 5.4), sharex=True)
    low, value, high = (
        [getattr(each, part) for each in estimates] for part in ("low", "value", "high")
    )
    values.fill_between(clips, low, high, color=FAINT, label="interval")
    values.plot(clips, value, color=BLUE, marker="o", markerfacecolor="white", label="estimate")
    values.axhline(truth, color=ORANGE, linestyle="--", linewidth=1.6, label="truth")
    values.set(title="Clipping: steadier, and biased", ylabel=unit, xscale="log")
    values.legend(frameon=False, ncols=3)
    sizes.plot(
        clips,
        [each.effective_sample for each in estimates],
        color=BLUE,
        marker="o",
        markerfacecolor="white",
    )
    sizes.set(xlabel="largest weight (logarithmic)", ylabel="effective choices", ylim=(0, None))
    sizes.yaxis.set_major_formatter(THOUSANDS)
    return figure
