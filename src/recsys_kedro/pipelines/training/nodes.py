"""Nodes of the training, made once per model."""

from collections.abc import Callable

import polars as pl

from recsys_kedro.fitting import (
    Choice,
    choose_settings,
    data_for_choosing,
    fit_model,
    recommend_tasks,
    training_data,
)
from recsys_kedro.models.registry import ModelsOptions
from recsys_kedro.queries import Queries
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_lists import TrainingLists

Chooser = Callable[..., tuple[Choice, pl.DataFrame]]
Tester = Callable[..., pl.DataFrame]


def chooser_of(model: str) -> Chooser:
    """The node function that chooses the settings of ``model``."""

    def choose(
        events: pl.DataFrame,
        products: pl.DataFrame,
        users: pl.DataFrame,
        product_snapshots: pl.DataFrame,
        training_lists: TrainingLists,
        split: TimeSplit,
        validation_queries: Queries,
        validation_truth: pl.DataFrame,
        options: ModelsOptions,
        seed: int,
    ) -> tuple[Choice, pl.DataFrame]:
        """Fit every setting before the validation window and keep the best on it."""
        data = data_for_choosing(
            events,
            products,
            users,
            product_snapshots,
            training_lists,
            split,
            validation_queries,
            validation_truth,
        )
        return choose_settings(model, getattr(options, model), data, seed)

    return choose


def tester_of(model: str) -> Tester:
    """The node function that makes the test lists of ``model``."""

    def recommend_test(
        choice: Choice,
        events: pl.DataFrame,
        products: pl.DataFrame,
        users: pl.DataFrame,
        product_snapshots: pl.DataFrame,
        training_lists: TrainingLists,
        split: TimeSplit,
        test_queries: Queries,
        seed: int,
    ) -> pl.DataFrame:
        """Fit the chosen settings on train and validation, and recommend as of the test cut."""
        data = training_data(
            events, products, users, product_snapshots, training_lists, split, split.test_start
        )
        return recommend_tasks(fit_model(model, choice.settings, data, seed), test_queries)

    return recommend_test
