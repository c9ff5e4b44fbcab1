"""The report's pictures, as SVG text.

A model keeps its shape throughout; colour only says its part (hybrid, best baseline,
other), so the pictures also read in grey and to the colour-blind. Colours: Okabe and Ito.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from recsys_kedro import columns as c
from recsys_kedro.metrics.evaluation import (
    HEADLINE,
    HEADLINE_K,
    HYBRID,
    Evaluation,
    Figure,
    Slice,
    TaskEvaluation,
)
from recsys_kedro.plotting import BLUE, INK, ORANGE, SOFT, STYLE
from recsys_kedro.plotting.svg import svg_text

TASK_TITLES: Final = {
    c.TASK_ALL: "All products (repeats count)",
    c.TASK_NEW: "Products new to the user",
}
MOST_GROUPS: Final = 8

_SHAPES: Final = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")
_STYLE: Final[dict[Any, Any]] = STYLE | {
    "axes.titlesize": 11,
    "axes.titlepad": 10,
    "figure.constrained_layout.h_pad": 0.09,
    "axes.spines.left": False,
    "axes.grid.axis": "x",
    "ytick.color": INK,
    "svg.fonttype": "path",
}
_TRADE_OFFS: Final = (
    (f"diversity@{HEADLINE_K}", 1.0, "Diversity: pairs of different categories, share"),
    (f"novelty@{HEADLINE_K}", 1.0, "Novelty: self-information, bits"),
    (f"coverage@{HEADLINE_K}", 100.0, "Coverage: products shown, % of catalogue"),
)
_SLICE_LABELS: Final = {
    "history_length": "NDCG@10 by past events (users)",
    "segment": "NDCG@10 by segment (users)",
    "products": "Recall@10 by product (users)",
}
_GROUP_LABELS: Final = {"new": "never taken by anybody", "known": "taken before"}


def forest_plot(evaluation: Evaluation) -> str:
    """NDCG@10 of every model with its interval, one panel per task."""
    return _panels(evaluation, _draw_forest)


def difference_plot(evaluation: Evaluation) -> str:
    """Paired difference of every model to the best baseline, one panel per task."""
    return _panels(evaluation, _draw_differences)


def slice_plot(evaluation: Evaluation) -> str:
    """NDCG@10 by history length and segment, recall by product age; a column per task."""
    names = [
        name
        for name in ("history_length", "segment", "products")
        if any(len(task.slices.get(name, {})) > 1 for task in evaluation.tasks.values())
    ]
    sizes = [
        max(len(_largest(task.slices.get(name, {}))) for task in evaluation.tasks.values())
        for name in names
    ]
    with style.context(_STYLE | {"svg.hashsalt": "slices"}):
        canvas = Canvas(figsize=(10.4, 1.0 * len(names) + 0.42 * sum(sizes)), layout="constrained")
        axes = canvas.subplots(
            len(names),
            len(evaluation.tasks),
            squeeze=False,
            gridspec_kw={"height_ratios": [size + 1.0 for size in sizes]},
        )
        for column, (name, task) in enumerate(evaluation.tasks.items()):
            axes[0][column].set_title(TASK_TITLES[name])
            for row, slices in enumerate(names):
                _draw_slices(axes[row][column], task, slices)
        _add_legend(canvas, evaluation)
        return svg_text(canvas)


def trade_off_plot(evaluation: Evaluation) -> str:
    """NDCG@10 against diversity, novelty and coverage; a row per task."""
    with style.context(_STYLE | {"svg.hashsalt": "trade-offs", "axes.grid.axis": "both"}):
        rows = len(evaluation.tasks)
        canvas = Canvas(figsize=(10.4, 3.1 * rows + 0.5), layout="constrained")
        axes = canvas.subplots(rows, len(_TRADE_OFFS), sharey="row", squeeze=False)
        for row, (name, task) in enumerate(evaluation.tasks.items()):
            axes[row][0].set_title(TASK_TITLES[name])
            axes[row][0].set_ylabel("NDCG@10")
            for axis, (metric, scale, label) in zip(axes[row], _TRADE_OFFS, strict=True):
                _draw_trade_off(axis, task, metric, scale)
                axis.set_xlabel(label, fontsize=9, loc="left")
        _add_legend(canvas, evaluation)
        return svg_text(canvas)


def _panels(evaluation: Evaluation, draw: Callable[[Axes, TaskEvaluation], None]) -> str:
    models = max(len(task.models) for task in evaluation.tasks.values())
    with style.context(_STYLE | {"svg.hashsalt": draw.__name__}):
        canvas = Canvas(figsize=(10.4, 1.1 + 0.38 * models), layout="constrained")
        axes = canvas.subplots(1, len(evaluation.tasks), squeeze=False)[0]
        for axis, (name, task) in zip(axes, evaluation.tasks.items(), strict=True):
            draw(axis, task)
            axis.set_title(f"{TASK_TITLES[name]}, {task.users:,} users")
        return svg_text(canvas)


def _draw_forest(axis: Axes, task: TaskEvaluation) -> None:
    figures = [task.models[model][HEADLINE] for model in task.ranking]
    _draw_rows(axis, task, task.ranking, figures)
    baseline = task.differences.baseline
    if baseline is not None:
        axis.axvline(task.headline(baseline), color=ORANGE, lw=1, ls="--", zorder=1)
    axis.set_xlim(left=0)
    axis.set_xlabel("NDCG@10, mean over users (bar: bootstrap interval)", loc="left")


def _draw_differences(axis: Axes, task: TaskEvaluation) -> None:
    models = [model for model in task.ranking if model in task.differences.models]
    _draw_rows(axis, task, models, [task.differences.models[model] for model in models], sign="+")
    axis.axvline(0, color=INK, lw=1, zorder=1)
    axis.set_xlabel(f"NDCG@10 minus that of {task.differences.baseline}, user by user", loc="left")


def _draw_rows(
    axis: Axes,
    task: TaskEvaluation,
    models: Sequence[str],
    figures: Sequence[Figure],
    sign: str = "",
) -> None:
    for row, (model, figure) in enumerate(zip(models, figures, strict=True)):
        _draw_interval(axis, task, model, figure, row)
        if figure.value is not None:
            axis.annotate(
                f"{figure.value:{sign}.3f}".replace("-", "\N{MINUS SIGN}"),
                (1.0, row),
                xycoords=("axes fraction", "data"),
                va="center",
                ha="left",
                xytext=(4, 0),
                textcoords="offset points",
                color=_colour(task, model),
                fontweight="bold" if model in (HYBRID, task.differences.baseline) else "normal",
            )
    axis.set_yticks(range(len(models)), models)
    for label, model in zip(axis.get_yticklabels(), models, strict=True):
        if model in (HYBRID, task.differences.baseline):
            label.set(color=_colour(task, model), fontweight="bold")
    axis.set_ylim(len(models) - 0.4, -0.6)
    axis.locator_params(axis="x", nbins=6)


def _draw_interval(
    axis: Axes, task: TaskEvaluation, model: str, figure: Figure, height: float
) -> None:
    if figure.value is None:
        return
    colour = _colour(task, model)
    if figure.low is not None and figure.high is not None:
        axis.plot([figure.low, figure.high], [height] * 2, color=colour, lw=2.2, zorder=2)
    axis.plot(figure.value, height, **_marker(task, model))


def _draw_slices(axis: Axes, task: TaskEvaluation, name: str) -> None:
    groups = _largest(task.slices.get(name, {}))
    metric = f"recall@{HEADLINE_K}" if name == "products" else HEADLINE
    leaders = [model for model in (HYBRID, task.differences.baseline) if model in task.models]
    for row, group in enumerate(groups.values()):
        for model, figures in group.models.items():
            if model in leaders:
                offset = -0.16 if model == HYBRID else 0.16
                _draw_interval(axis, task, model, figures[metric], row + offset)
            elif (value := figures[metric].value) is not None:
                axis.plot(value, row, **_marker(task, model, size=4.5))
    labels = [
        f"{_GROUP_LABELS.get(label, label)}  ({group.users:,})" for label, group in groups.items()
    ]
    axis.set_yticks(range(len(groups)), labels)
    axis.set_ylim(max(len(groups), 1) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(_SLICE_LABELS[name], loc="left")


def _draw_trade_off(axis: Axes, task: TaskEvaluation, metric: str, scale: float) -> None:
    for model, figures in task.models.items():
        across = figures[metric].value
        if across is not None:
            axis.plot(across * scale, task.headline(model), **_marker(task, model, size=9))
    axis.margins(0.12, 0.14)
    axis.locator_params(axis="x", nbins=5)


def _largest(groups: dict[str, Slice]) -> dict[str, Slice]:
    """At most :data:`MOST_GROUPS` groups, those with most users, in their own order."""
    kept = sorted(groups, key=lambda name: (-groups[name].users, name))[:MOST_GROUPS]
    return {name: group for name, group in groups.items() if name in kept}


def _colour(task: TaskEvaluation, model: str) -> str:
    if model == HYBRID:
        return BLUE
    return ORANGE if model == task.differences.baseline else SOFT


def _shape(models: Sequence[str], model: str) -> str:
    if model == HYBRID:
        return "o"
    others = sorted(set(models) - {HYBRID})
    return _SHAPES[others.index(model) % len(_SHAPES)]


def _marker(task: TaskEvaluation, model: str, size: float = 7.5) -> dict[str, Any]:
    leading = model in (HYBRID, task.differences.baseline)
    colour = _colour(task, model)
    return {
        "marker": _shape(list(task.models), model),
        "ls": "",
        "ms": size,
        "mec": colour,
        "mfc": colour if leading else "white",
        "mew": 1.4,
        "zorder": 4 if leading else 3,
    }


def _add_legend(canvas: Canvas, evaluation: Evaluation) -> None:
    models = sorted({model for task in evaluation.tasks.values() for model in task.models})
    handles = []
    for model in models:
        colour = BLUE if model == HYBRID else SOFT
        look = {"mec": colour, "mfc": colour if model == HYBRID else "white", "mew": 1.4}
        handles.append(_legend_entry(model, marker=_shape(models, model), ms=7, **look))
    best = _legend_entry("best baseline of the task", marker="_", ms=14, mew=4)
    best.set_color(ORANGE)
    handles.append(best)
    canvas.legend(
        handles=handles,
        loc="outside lower center",
        ncols=int(np.ceil(len(handles) / 2)),
        frameon=False,
        fontsize=9,
    )


def _legend_entry(label: str, **look: Any) -> Line2D:
    return Line2D([], [], ls="", label=label, **look)
