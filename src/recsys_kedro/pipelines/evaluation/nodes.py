"""Judge every model on the test window, once, and write down what came out."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.metrics.beyond_accuracy import Catalogue, make_catalogue
from recsys_kedro.metrics.evaluation import SCHEMA_VERSION, Evaluation, Slice, TaskEvaluation
from recsys_kedro.metrics.lists import judge_lists, model_names, truth_users
from recsys_kedro.metrics.slices import (
    HISTORY_GROUPS,
    HISTORY_LENGTH,
    headline_truth,
    history_group,
    history_lengths,
)
from recsys_kedro.pipelines.evaluation.options import EvaluationOptions
from recsys_kedro.pipelines.evaluation.report import ReportContext, render_report
from recsys_kedro.pipelines.evaluation.scoring import (
    UserScores,
    differences_to_baseline,
    exposure_figures,
    mean_figures,
    score_users,
    user_groups,
)
from recsys_kedro.splits import TimeSplit

USER_SLICE_METRICS: Final = ("ndcg@10", "recall@10", "hit_rate@10")
PRODUCT_GROUPS: Final = ("new", "known")


@dataclass(frozen=True)
class _Setting:
    """What is the same for every task."""

    models: tuple[str, ...]
    catalogue: Catalogue
    taken_before: pl.Series
    options: EvaluationOptions
    seed: int


def concatenate_recommendations(*lists: pl.DataFrame) -> pl.DataFrame:
    """All models' lists: ``task, model, user_id, product_id, rank, score``, sorted.

    Raises:
        ValueError: if a model gives no list at all.
    """
    empty = [number for number, frame in enumerate(lists, start=1) if frame.is_empty()]
    if empty:
        msg = (
            f"test_recommendations: input {empty[0]} of {len(lists)} has no rows, so its model "
            f"cannot be scored. See what its recommend() returns, or take it out of the models."
        )
        raise ValueError(msg)
    columns = [c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE]
    return pl.concat([frame.select(columns) for frame in lists]).sort(
        c.TASK, c.MODEL, c.USER_ID, c.RANK
    )


def evaluate(
    truth: pl.DataFrame,
    recommendations: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    split: TimeSplit,
    options: EvaluationOptions,
    seed: int,
) -> dict[str, Any]:
    """Every metric of every model and task, with slices and paired differences.

    Args:
        truth: ``task, user_id, product_id`` taken in the test window.
        recommendations: lists as of the cut, for every model and task.
        events: only those before the cut are used, for history, popularity and novelty.
        products: categories, and what could be shown.
        users: segments.
        split: the test window is ``[test_start, end)``.
        options: list lengths and intervals.
        seed: of the bootstrap.

    Returns:
        An :class:`Evaluation` as JSON values. Same input and seed, same figures.
    """
    cut = split.test_start
    taken = pl.col(c.EVENT_TYPE).is_in(list(split.target_event_types))
    setting = _Setting(
        tuple(model_names(recommendations)),
        make_catalogue(events, products, cut, split.target_event_types),
        events.filter(taken, pl.col(c.TIMESTAMP) < cut)[c.PRODUCT_ID].unique(),
        options,
        seed,
    )
    tasks = {}
    for task in c.TASKS:
        task_truth = truth.filter(pl.col(c.TASK) == task)
        tasks[task] = _evaluate_task(
            task_truth,
            headline_truth(task_truth, events, cut),
            recommendations.filter(pl.col(c.TASK) == task),
            _describe_users(task_truth, events, users, split, options),
            setting,
        )
    result = Evaluation(schema_version=SCHEMA_VERSION, cut=cut, end=split.end, tasks=tasks)
    return result.model_dump(mode="json")


def report_evaluation(
    evaluation: dict[str, Any],
    events: pl.DataFrame,
    products: pl.DataFrame,
    split: TimeSplit,
    options: EvaluationOptions,
    seed: int,
    shop: str,
) -> str:
    """The evaluation as a self-contained HTML page. ``shop`` is what the shop is called."""
    past = events.filter(pl.col(c.TIMESTAMP) < split.test_start)
    context = ReportContext(
        shop=shop,
        split=split,
        options=options,
        seed=seed,
        past_events=past.height,
        past_users=past[c.USER_ID].n_unique(),
        products=products.height,
    )
    return render_report(evaluation, context)


def _describe_users(
    truth: pl.DataFrame,
    events: pl.DataFrame,
    users: pl.DataFrame,
    split: TimeSplit,
    options: EvaluationOptions,
) -> pl.DataFrame:
    """``user_id, history_length, segment`` of the users of the truth, sorted by user."""
    described = (
        history_lengths(truth, events, split.test_start)
        .join(users.select(c.USER_ID, c.SEGMENT), on=c.USER_ID, how="left")
        .sort(c.USER_ID)
    )
    if described[c.SEGMENT].is_null().all():
        return described
    return described.with_columns(user_groups(described, c.SEGMENT, options.min_segment_users))


def _evaluate_task(
    truth: pl.DataFrame,
    headline: pl.DataFrame,
    recommendations: pl.DataFrame,
    users: pl.DataFrame,
    setting: _Setting,
) -> TaskEvaluation:
    ks = setting.options.ks
    vocabulary = setting.catalogue.vocabulary
    judged = judge_lists(truth, recommendations, setting.models, max(ks), vocabulary)
    scores = score_users(users, judged, setting.catalogue, ks)
    known = pl.col(HISTORY_LENGTH) > 0
    known_scores = scores.where(known)
    rows = users.select(known).to_series().to_numpy()
    models = {
        model: figures | exposure_figures(judged[model], rows, setting.catalogue, ks)
        for model, figures in mean_figures(known_scores, setting.options, setting.seed).items()
    }
    slices = {
        "history_length": _history_slices(scores, setting),
        "products": _product_slices(headline, recommendations, setting),
        "segment": _segment_slices(known_scores, setting),
    }
    return TaskEvaluation(
        users=known_scores.users.height,
        models=models,
        slices={name: groups for name, groups in slices.items() if groups},
        differences=differences_to_baseline(known_scores, setting.options, setting.seed),
    )


def _history_slices(scores: UserScores, setting: _Setting) -> dict[str, Slice]:
    group = history_group(pl.col(HISTORY_LENGTH))
    return {name: _user_slice(scores.where(group == name), setting) for name in HISTORY_GROUPS}


def _segment_slices(scores: UserScores, setting: _Setting) -> dict[str, Slice]:
    """One slice per segment, the largest first; none where the shop has no segments."""
    sizes = scores.users.drop_nulls(c.SEGMENT).group_by(c.SEGMENT).len()
    names = sizes.sort(["len", c.SEGMENT], descending=[True, False])[c.SEGMENT]
    return {name: _user_slice(scores.where(pl.col(c.SEGMENT) == name), setting) for name in names}


def _user_slice(scores: UserScores, setting: _Setting) -> Slice:
    figures = mean_figures(scores.only(USER_SLICE_METRICS), setting.options, setting.seed)
    return Slice(users=scores.users.height, models=figures)


def _product_slices(
    headline: pl.DataFrame, recommendations: pl.DataFrame, setting: _Setting
) -> dict[str, Slice]:
    """Recall of the relevant products that nobody had taken before the cut, and of the others."""
    is_new = ~pl.col(c.PRODUCT_ID).is_in(setting.taken_before.to_list())
    slices = {}
    for group, condition in zip(PRODUCT_GROUPS, (is_new, ~is_new), strict=True):
        relevant = headline.filter(condition)
        ks = setting.options.ks
        judged = judge_lists(relevant, recommendations, setting.models, max(ks))
        scores = score_users(truth_users(relevant), judged, setting.catalogue, ks)
        recalls = scores.only(tuple(f"recall@{k}" for k in ks))
        figures = mean_figures(recalls, setting.options, setting.seed)
        slices[group] = Slice(users=relevant[c.USER_ID].n_unique(), models=figures)
    return slices
