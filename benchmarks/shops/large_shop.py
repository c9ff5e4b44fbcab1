"""A served model of a large simulated shop: made once, kept in a folder, asked by benchmarks.

The whole way of ``kedro run`` in short: events, features, a few weekly snapshots of training
lists, one epoch of the hybrid. One epoch, since the weights decide what is in the lists, not how
long they take.
"""

import shutil
import time
from datetime import timedelta
from pathlib import Path

import mlflow
import narwhals as nw
import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.features.user import user_features
from recsys_kedro.fitting import training_data
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.models.training import TrainingOptions
from recsys_kedro.options import Options
from recsys_kedro.schemas import EVENTS
from recsys_kedro.serving import pyfunc_model
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import simulate_shop
from recsys_kedro.splits import SplitOptions, make_time_split
from recsys_kedro.training_lists import SamplingOptions, build_training_lists

SEED = 7
USER_IDS = "user_ids.parquet"
PRODUCT_IDS = "product_ids.parquet"


class LargeShopOptions(Options):
    """How large the shop is."""

    users: int = Field(1_000_000, ge=1)
    products: int = Field(100_000, ge=1)
    events_per_user: float = Field(10.0, gt=0)
    days: int = Field(180, ge=60)


def served_model(folder: Path, options: LargeShopOptions) -> Path:
    """The MLflow model of the shop in ``folder``, made if it is not there yet.

    Beside it lie the ids of its users and products.
    """
    made = folder / f"{options.users}_users_{options.products}_products_{options.events_per_user:g}"
    if not (made / "MLmodel").is_file():
        started = time.perf_counter()
        shutil.rmtree(made, ignore_errors=True)
        _make(made, options)
        print(f"made {made.name} in {time.perf_counter() - started:.0f} s")
    return made


def _make(folder: Path, options: LargeShopOptions) -> None:
    sizes = options.model_dump()
    shop = simulate_shop(SimulationOptions(**sizes), SEED)
    events = _as_ingested(shop.events)
    model, snapshot = _fit(events, shop.products, shop.users)
    del events
    parts = {pyfunc_model.MODEL: model, pyfunc_model.SNAPSHOT: snapshot}
    for part, content in parts.items():
        content.save(folder.with_suffix(".parts") / part)
    # Without a copy of the code: what is measured is the code as it is.
    mlflow.pyfunc.save_model(
        folder,
        python_model=pyfunc_model.__file__,
        artifacts={part: str(folder.with_suffix(".parts") / part) for part in parts},
        pip_requirements=[],
    )
    shutil.rmtree(folder.with_suffix(".parts"))
    shop.users.select(c.USER_ID).write_parquet(folder / USER_IDS)
    shop.products.select(c.PRODUCT_ID).write_parquet(folder / PRODUCT_IDS)


def _as_ingested(events: pl.DataFrame) -> pl.DataFrame:
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
    none = pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID)
    table = events.with_columns(rows, none).select(list(EVENTS.columns))
    return table.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)


def _fit(
    events: pl.DataFrame, products: pl.DataFrame, users: pl.DataFrame
) -> tuple[Hybrid, ServingSnapshot]:
    split = make_time_split(events, None, SplitOptions(horizon_days=14))
    features = FeatureOptions()
    lazy = [nw.from_native(table.lazy()) for table in (events, products, users)]
    times = [split.as_of - timedelta(weeks=weeks) for weeks in (4, 3, 2, 0)]
    snapshots = product_snapshots(lazy[0], lazy[1], times, features).collect().to_native()
    sampling = SamplingOptions(window_queries=1_000, session_queries=200)
    lists = build_training_lists(
        events, products, users, snapshots, split, sampling, features, SEED
    )
    data = training_data(events, products, users, snapshots, lists, split, split.as_of)
    model = Hybrid.fit(data, HybridOptions(training=TrainingOptions(epochs=1)), SEED)
    snapshot = ServingSnapshot.of(
        events,
        products,
        product_features(lazy[0], lazy[1], split.as_of, features).collect().to_native(),
        user_features(*lazy, split.as_of, features).collect().to_native(),
        split.as_of,
    )
    return model, snapshot
