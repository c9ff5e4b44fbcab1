"""What a warm start and a second process change: seconds and NDCG@10 of the hybrid.

Run: ``python benchmarks/training.py``. A simulated shop; every fit is as of the same cut and asked
for the lists of the two weeks after it. The warm ones begin with the weights of a fit of a week
before. One run each: the seconds are rough, the figures of the same seed are not.
"""

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import report

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.fitting import SCORE, figures_of, queries_at, recommend_tasks, training_data
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.queries import Queries
from recsys_kedro.schemas import EVENTS
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import simulate_shop
from recsys_kedro.splits import SplitOptions, make_time_split, window_truth
from recsys_kedro.training_lists import SamplingOptions, build_training_lists

SEED = 7
WEEK = timedelta(weeks=1)
EPOCHS = (1, 2, 4)


def make_data(users: int) -> tuple[TrainingData, TrainingData, Queries, pl.DataFrame]:
    """The data as of a week before the cut and as of the cut; who is asked; what they took."""
    sizes = SimulationOptions(users=users, products=users // 4, events_per_user=60, days=180)
    shop = simulate_shop(sizes, SEED)
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
    none = pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID)
    events = shop.events.with_columns(rows, none).select(list(EVENTS.columns))
    events = events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    split = make_time_split(events, None, SplitOptions(horizon_days=14))
    cut = split.test_start
    times = [cut - number * WEEK for number in range(10, -1, -1)]
    lazy = [nw.from_native(table.lazy()) for table in (events, shop.products)]
    features = FeatureOptions()
    snapshots = product_snapshots(*lazy, times, features).collect().to_native()
    tables = (events, shop.products, shop.users)
    lists = build_training_lists(*tables, snapshots, split, SamplingOptions(), features, SEED)
    truth = window_truth(events, cut, split.end, split)
    before, data = (
        training_data(*tables, snapshots, lists, split, time) for time in (cut - WEEK, cut)
    )
    return before, data, queries_at(truth, *tables, cut, features), truth


def main() -> None:
    """Fit cold, warm and in two processes, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2_000, help="60 events each")
    users = parser.parse_args().users
    before, data, queries, truth = make_data(users)
    figures: dict[str, float | int | str] = {"users": users, "events": data.events.height}

    def measure(name: str, epochs: int, **training: Any) -> None:
        options = HybridOptions.model_validate({"training": {"epochs": epochs, **training}})
        started = time.perf_counter()
        model = Hybrid.fit(data, options, SEED)
        figures[f"{name}_{epochs}_epochs_s"] = round(time.perf_counter() - started, 1)
        ndcg = figures_of(truth, recommend_tasks(model, queries))[SCORE]
        figures[f"{name}_{epochs}_epochs_ndcg@10"] = round(ndcg, 4)

    for epochs in EPOCHS:
        measure("cold", epochs)
        with tempfile.TemporaryDirectory() as folder:
            earlier = {"epochs": max(EPOCHS), "weights_folder": Path(folder)}
            Hybrid.fit(before, HybridOptions.model_validate({"training": earlier}), SEED)
            measure("warm", epochs, weights_folder=Path(folder))
    measure("two_processes", max(EPOCHS), processes=2)
    report.write_report("training", figures)


if __name__ == "__main__":
    main()
