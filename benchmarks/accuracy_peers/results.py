"""What was measured, as flat figures, as a table and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib.pyplot as plt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accuracy_peers.judging import METRICS, SEED, differences_of, intervals_of
from accuracy_peers.measuring import Measured
from accuracy_peers.trials import OURS, PEERS
from recsys_kedro import columns as c
from recsys_kedro.metrics.intervals import Interval
from recsys_kedro.plotting import BLUE, ORANGE, SOFT

NDCG: Final = "ndcg@10"
Flat = dict[str, float | int | str]


@dataclass(frozen=True)
class Results:
    """All models.

    Attributes:
        measured: by model.
        missing: why a model was not measured, by model.
        intervals, differences: by task and metric, then by model; differences are the hybrid's
            value minus the model's, empty without the hybrid.
        users: judged users by task.
    """

    measured: Mapping[str, Measured]
    missing: Mapping[str, str]
    intervals: Mapping[tuple[str, str], Mapping[str, Interval]]
    differences: Mapping[tuple[str, str], Mapping[str, Interval]]
    users: Mapping[str, int]

    @classmethod
    def of(
        cls, measured: Mapping[str, Measured], missing: Mapping[str, str], seed: int
    ) -> "Results":
        """Put the values of all models side by side."""
        names = list(measured)
        values = pl.concat([each.values for each in measured.values()])
        asked = [(task, metric) for task in c.TASKS for metric in METRICS]
        intervals = {key: intervals_of(values, *key, names, seed) for key in asked}
        differences: dict[tuple[str, str], dict[str, Interval]] = {key: {} for key in asked}
        if OURS in measured:
            differences = {key: differences_of(values, *key, OURS, names, seed) for key in asked}
        of_task = {task: values.filter(pl.col(c.TASK) == task) for task in c.TASKS}
        users = {task: table[c.USER_ID].n_unique() for task, table in of_task.items()}
        return cls(measured, missing, intervals, differences, users)

    def ranking(self) -> list[str]:
        """The models, the best mean NDCG@10 of the tasks first."""
        total = {
            name: sum(self.intervals[task, NDCG][name].value for task in c.TASKS)
            for name in self.measured
        }
        return sorted(total, key=lambda name: (-total[name], name))


def flat(results: Results) -> Flat:
    """One flat object, as the other benchmarks write it."""
    figures: Flat = {f"users_{task}": count for task, count in results.users.items()}
    for name in results.ranking():
        one = results.measured[name]
        for (task, metric), by_model in results.intervals.items():
            figures |= _with_bounds(f"{name}_{task}_{metric}", by_model[name])
            difference = results.differences[task, metric].get(name)
            if difference is not None:
                figures |= _with_bounds(f"{OURS}_minus_{name}_{task}_{metric}", difference)
        for task in c.TASKS:
            by_seed = seed_means(one.values, task)
            if len(by_seed) > 1:
                figures[f"{name}_{task}_{NDCG}_by_seed"] = " ".join(f"{v:.4f}" for v in by_seed)
        figures |= {
            f"{name}_chosen_by_{NDCG}": round(one.score, 4),
            f"{name}_trials": one.trials,
            f"{name}_seconds": round(one.seconds, 2),
            f"{name}_seconds_features": round(one.seconds_features, 2),
            f"{name}_seconds_to_best": round(one.seconds_to_best, 2),
            f"{name}_seconds_choosing": round(one.seconds_choosing, 2),
            f"{name}_peak_mib": round(one.peak_mib, 1),
            f"{name}_model_mb": round(one.model_mb, 3),
            f"{name}_settings": str(one.settings),
        }
    return figures | {f"{name}_missing": why for name, why in results.missing.items()}


def seed_means(values: pl.DataFrame, task: str) -> list[float]:
    """NDCG@10 of each seed."""
    of_task = values.filter(pl.col(c.TASK) == task)
    return of_task.group_by(SEED).agg(pl.col(NDCG).mean()).sort(SEED)[NDCG].to_list()


def _with_bounds(name: str, interval: Interval) -> Flat:
    value, low, high = (round(bound, 5) for bound in interval)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def markdown(results: Results, heading: Sequence[str]) -> str:
    """The table for people: intervals in brackets, ``~`` where a difference may be chance."""
    heads = ["model"]
    for task in c.TASKS:
        heads += [f"NDCG@10 {task}", "hybrid minus it", f"HR@10 {task}"]
    heads += ["training, s", "of it features, s", "to best, s", "all trials, s", "peak, MiB"]
    heads += ["model, MB"]
    lines = [*heading, "", _row(heads), _row(["---"] + ["---:"] * (len(heads) - 1))]
    for name in results.ranking():
        one, cells = results.measured[name], [name]
        for task in c.TASKS:
            cells.append(_interval(results.intervals[task, NDCG][name]))
            cells.append(_difference(results.differences[task, NDCG].get(name)))
            cells.append(f"{results.intervals[task, 'hr@10'][name].value:.3f}")
        seconds = one.seconds, one.seconds_features, one.seconds_to_best, one.seconds_choosing
        cells += [f"{each:,.1f}" for each in seconds]
        cells += [f"{one.peak_mib:,.0f}", f"{one.model_mb:,.2f}"]
        lines.append(_row(cells))
    lines += [f"\n{name} was not measured: {why}" for name, why in results.missing.items()]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(found: Interval) -> str:
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"


def _difference(found: Interval | None) -> str:
    if found is None:
        return ""
    doubt = "~" if found.low <= 0 <= found.high else ""
    return f"{doubt}{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def plot_accuracy(results: Results, title: str) -> Figure:
    """NDCG@10 with its interval against the seconds of training, a panel for each task."""
    figure, panels = plt.subplots(1, len(c.TASKS), figsize=(11, 4.6), sharex=True)
    for axes, task in zip(panels, c.TASKS, strict=True):
        _draw(axes, results, task)
        axes.set_title(f"{title}: {task}")
    panels[0].set_ylabel("NDCG@10, with 95 % interval")
    return figure


def _draw(axes: Axes, results: Results, task: str) -> None:
    for name, found in results.intervals[task, NDCG].items():
        colour, shape = _look(name)
        seconds = max(results.measured[name].seconds, 0.01)
        bars = [[found.value - found.low], [found.high - found.value]]
        face = colour if name == OURS else "white"
        axes.errorbar(
            seconds, found.value, bars, color=colour, marker=shape, markerfacecolor=face,
            markersize=7, linewidth=1, linestyle="",
        )  # fmt: skip
        axes.annotate(
            name, (seconds, found.value), xytext=(6, 5), textcoords="offset points", fontsize=8,
            color=colour,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("seconds of one fit, features included")
    axes.margins(0.14, 0.12)


def _look(name: str) -> tuple[str, str]:
    if name == OURS:
        return BLUE, "o"
    return (ORANGE, "s") if name in PEERS else (SOFT, "D")
