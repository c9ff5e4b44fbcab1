"""Nodes of the sampling."""

from datetime import datetime

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import queries_at
from recsys_kedro.queries import Queries
from recsys_kedro.splits import TimeSplit, window_truth
from recsys_kedro.training_lists import (
    SamplingOptions,
    TrainingLists,
    build_training_lists,
)
from recsys_kedro.training_requests import list_times


def build_truth(events: pl.DataFrame, split: TimeSplit) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What users took in the validation window, and in the test window."""
    validation = window_truth(events, split.validation_start, split.test_start, split)
    return validation, window_truth(events, split.test_start, split.end, split)


def build_evaluation_queries(
    validation_truth: pl.DataFrame,
    test_truth: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    split: TimeSplit,
    options: FeatureOptions,
) -> tuple[Queries, Queries]:
    """One query for everybody in the validation truth as of its cut; the same for the test."""
    windows: tuple[tuple[pl.DataFrame, datetime], ...] = (
        (validation_truth, split.validation_start),
        (test_truth, split.test_start),
    )
    validation, test = (
        queries_at(truth, events, products, users, cut, options) for truth, cut in windows
    )
    return validation, test


def build_lists(
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    split: TimeSplit,
    options: SamplingOptions,
    feature_options: FeatureOptions,
    seed: int,
) -> TrainingLists:
    """Training lists of all snapshots that the three fits learn from."""
    times = list_times(
        product_snapshots[f.SNAPSHOT_TIME].unique().to_list(),
        split.validation_start,
        events,
        split,
        options,
    )
    recent = product_snapshots.filter(pl.col(f.SNAPSHOT_TIME).is_in(times))
    return build_training_lists(
        events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW),
        products,
        users,
        recent,
        split,
        options,
        feature_options,
        seed,
    )
