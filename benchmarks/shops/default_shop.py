"""The included shop as `make run` leaves it, with a hybrid that has not seen its validation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.fitting import training_data
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.queries import Queries
from recsys_kedro.serving.catalogue import Catalogue
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_lists import TrainingLists

SEED = 42


@dataclass(frozen=True)
class ValidationShop:
    """Nothing in it has seen the test window.

    Attributes:
        model: fitted before the validation window.
        catalogue: the products.
        queries: one per user, at the start of the validation window.
        truth: ``task, user_id, product_id``, what they then took.
    """

    model: Hybrid
    catalogue: Catalogue
    queries: Queries
    truth: pl.DataFrame


def validation_shop(data: Path) -> ValidationShop:
    """Read what the run wrote, and fit.

    Raises:
        FileNotFoundError: if there was no run.
    """
    fitted_on, settings = data_before_validation(data)
    cut = fitted_on.cut
    model = Hybrid.fit(fitted_on, HybridOptions.model_validate(settings), SEED)
    model.vectors_P2D = model.every_product_vector().detach()
    features = pl.read_parquet(data / "04_feature" / "product_features.parquet")
    users = pl.read_parquet(data / "04_feature" / "user_features.parquet")
    snapshot = ServingSnapshot.of(fitted_on.events, fitted_on.products, features, users, cut)
    return ValidationShop(
        model,
        Catalogue.of(snapshot.products.with_columns(pl.col(c.SCORE).fill_null(0.0))),
        Queries.load(data / "05_model_input" / "validation_queries"),
        pl.read_parquet(data / "05_model_input" / "validation_truth.parquet"),
    )


def data_before_validation(data: Path) -> tuple[TrainingData, dict[str, Any]]:
    """What lies before the validation window, and the settings that were chosen for the hybrid.

    Raises:
        FileNotFoundError: if there was no run.
    """
    if not (data / "05_model_input" / "training_lists").is_dir():
        msg = f"{data} has no training lists: `make run` first"
        raise FileNotFoundError(msg)
    tables = {
        name: pl.read_parquet(data / "03_primary" / f"{name}.parquet")
        for name in ("events", "products", "users")
    }
    snapshots = pl.read_parquet(data / "04_feature" / "product_snapshots.parquet")
    split = TimeSplit.model_validate_json((data / "04_feature" / "split.json").read_bytes())
    lists = TrainingLists.load(data / "05_model_input" / "training_lists")
    choice = json.loads((data / "06_models" / "choices" / "hybrid.json").read_bytes())
    cut = split.validation_start
    return training_data(*tables.values(), snapshots, lists, split, cut), choice["settings"]
