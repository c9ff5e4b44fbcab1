"""Nodes of the tuning: thin around the search."""

import textwrap

import polars as pl
import yaml

from recsys_kedro.fitting import data_for_choosing
from recsys_kedro.models.registry import ModelsOptions
from recsys_kedro.pipelines.tuning.report import render_report
from recsys_kedro.queries import Queries
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_lists import TrainingLists
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.results import TuningResult
from recsys_kedro.tuning.search import Search, tune
from recsys_kedro.tuning.tracking import log_trial

COMMENT_WIDTH = 90


def search_settings(
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    training_lists: TrainingLists,
    split: TimeSplit,
    validation_queries: Queries,
    validation_truth: pl.DataFrame,
    models: ModelsOptions,
    options: TuningOptions,
    shop: str,
    seed: int,
) -> TuningResult:
    """Search before the validation window; every trial goes to MLflow as it finishes."""
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
    presets = getattr(models, options.model)
    return tune(Search(shop, presets, data, options, seed, log_trial))


def write_tuned_settings(result: TuningResult) -> str:
    """The best trial's settings, as they would stand in ``parameters_models.yml``."""
    best = result.trial(result.best)
    told = f"Trial {best.number} of study {result.study}. {result.verdict}"
    comment = "".join(f"# {line}\n" for line in textwrap.wrap(told, COMMENT_WIDTH))
    settings: str = yaml.safe_dump({"models": {result.model: [best.settings]}}, sort_keys=False)
    return comment + settings


def build_tuning_report(result: TuningResult) -> str:
    """The study as one HTML page."""
    return render_report(result)
