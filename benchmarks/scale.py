"""What a shop's size costs: every stage from raw events to lists, in a process of its own.

Run: ``python benchmarks/scale.py --events 1000000 10000000``. Each size is a simulated shop
(20 events a user, a product for 1,000 events, 180 days), kept in ``data/benchmarks/scale``.
A stage is what ``kedro run`` does, tables read, checked and written; its seconds leave out the
start of Python, its peak memory is that of the whole process. The linear model,
whose work grows with the products and not the events, is left out of all sizes. On a machine with
other work, compare the processor's seconds, which count the start of Python too.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import polars as pl
import report
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from shops.sized_shop import ENVIRONMENT, SCANNED, SizedShop

from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.models.training import TrainingOptions
from recsys_kedro.plotting import BLUE, GOLD, GREEN, ORANGE, PURPLE, use_style
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.training_lists import TrainingLists

FOLDER = report.ROOT / "data" / "benchmarks" / "scale"
SIMULATION = "simulation"
# What each stage runs, what it works on, and which folders it writes.
STAGES: dict[str, tuple[dict[str, list[str]], str, tuple[str, ...]]] = {
    SIMULATION: ({}, "events", ("01_raw",)),
    "ingestion": ({"pipeline_names": ["ingestion"]}, "events", ("02_intermediate", "03_primary")),
    "features": ({"pipeline_names": ["feature_engineering"]}, "events", ("04_feature",)),
    "sampling": ({"pipeline_names": ["sampling"]}, "lists", ("05_model_input",)),
    "training": ({"node_names": ["fit_on_everything"]}, "lists", ("06_models",)),
    "inference": ({"node_names": ["recommend_to_all"]}, "users", ("07_model_output",)),
}
COLOURS = dict(zip(list(STAGES)[1:], (BLUE, GREEN, GOLD, ORANGE, PURPLE), strict=True))
EPOCH = HybridOptions(training=TrainingOptions(epochs=1))


def main() -> None:
    """Measure every size and write the report and the plot."""
    asked = arguments()
    if asked.stage:
        print(json.dumps(run_stage(asked.stage, SizedShop(asked.folder, asked.events[0]))))
        return
    rows = [row for events in asked.events for row in measure(events, asked)]
    figures = {f"{events}_{stage}_{key}": value for events, stage, key, value in flat(rows)}
    slopes = slopes_of(rows)
    report.write_report("scale", {**figures, **slopes})
    plot(rows, slopes, report.FOLDER / "scale.png")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the shops are kept")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES)[1:], default=list(STAGES)[1:])
    parser.add_argument("--window-queries", type=int, default=1_000, help="lists per snapshot")
    parser.add_argument("--users-served", type=int, default=5_000, help="who get lists, about")
    parser.add_argument("--stage", choices=list(STAGES), help="only this one, in this process")
    return parser.parse_args()


def measure(events: int, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the stages one after the other; one row of figures each."""
    shop = SizedShop(asked.folder / str(events), events)
    if not (shop.folder / "01_raw" / "users.parquet").is_file():
        yield stage_in_own_process(SIMULATION, shop)
    sampling = {"window_queries": asked.window_queries, "scorers": {"linear": None}}
    inference = {"partitions": max(shop.users // asked.users_served, 1)}
    parameters = {"sampling": sampling, "inference": inference}
    shop.write_environment(report.ROOT / "conf" / "base", parameters)
    for stage in asked.stages:
        yield stage_in_own_process(stage, shop)


def stage_in_own_process(stage: str, shop: SizedShop) -> dict[str, Any]:
    """The stage's own figures, with its peak memory and what it left on disk."""
    command = [sys.executable, __file__, "--stage", stage]
    command += ["--folder", str(shop.folder), "--events", str(shop.events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=report.ROOT) as process:
        assert process.stdout is not None
        printed = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{stage} of {shop.events:,} events ended with status {process.returncode}")
    row: dict[str, Any] = json.loads(printed.splitlines()[-1])
    row |= {
        "stage": stage,
        "events": shop.events,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "per_second": round(row["worked_on"] / row["seconds"]),
        "peak_mib": round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
        "disk_mib": round(sum(size_of(shop.folder / name) for name in STAGES[stage][2]) / 2**20, 1),
    }
    print(json.dumps(row), flush=True)
    return row


def run_stage(stage: str, shop: SizedShop) -> dict[str, float]:
    """Run it here; how long it took, and on how many events, lists or users it worked."""
    started = time.perf_counter()
    if stage == SIMULATION:
        return {"worked_on": shop.write_raw(), "seconds": time.perf_counter() - started}
    prepare(stage, shop)
    bootstrap_project(report.ROOT)
    logging.disable(logging.INFO)
    with KedroSession.create(
        report.ROOT,
        env=SCANNED if stage == "features" else ENVIRONMENT,
        conf_source=str(shop.conf),
        save_on_close=False,
    ) as session:
        started = time.perf_counter()
        session.run(**STAGES[stage][0])
        seconds = time.perf_counter() - started
    return {"worked_on": worked_on(stage, shop), "seconds": round(seconds, 2)}


def prepare(stage: str, shop: SizedShop) -> None:
    """What a stage needs of stages that are not measured."""
    if stage == "training":
        recipe = Recipe(model="hybrid", settings=EPOCH.model_dump(mode="json"))
        promotion = Promotion(
            promote=True, recipe=recipe, champion=Recipe(), reasons=[], figures={},
            against_champion=None,
        )  # fmt: skip
        path = shop.folder / "08_reporting" / "promotion.json"
        path.write_text(promotion.model_dump_json(), encoding="utf-8")


def worked_on(stage: str, shop: SizedShop) -> int:
    """How many of the stage's units there are."""
    unit = STAGES[stage][1]
    if unit == "lists":
        lists = TrainingLists.load(shop.folder / "05_model_input" / "training_lists")
        return lists.requests.height
    path = {
        "events": "03_primary/events.parquet",
        "users": "07_model_output/recommendations.parquet",
    }[unit]
    table = pl.scan_parquet(shop.folder / path)
    counted = pl.len() if unit == "events" else pl.col("user_id").n_unique()
    return int(table.select(counted).collect().item())


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def flat(rows: list[dict[str, Any]]) -> Iterator[tuple[int, str, str, float]]:
    for row in rows:
        for key in ("seconds", "cpu_seconds", "worked_on", "per_second", "peak_mib", "disk_mib"):
            yield row["events"], row["stage"], key, row[key]


def slopes_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Per stage the exponent of seconds and of memory between the smallest and largest size."""
    slopes = {}
    for stage in COLOURS:
        own = sorted((row for row in rows if row["stage"] == stage), key=lambda row: row["events"])
        for small, large in pairwise(own[:: max(len(own) - 1, 1)]):
            for figure in ("seconds", "cpu_seconds", "peak_mib"):
                exponent = log(large[figure] / small[figure]) / log(
                    large["events"] / small["events"]
                )
                slopes[f"slope_{stage}_{figure}"] = round(exponent, 2)
    return slopes


def plot(rows: list[dict[str, Any]], slopes: dict[str, float], path: Path) -> None:
    """Seconds and peak memory against the number of events, log-log."""
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(10, 4))
    titles = {"seconds": "Seconds", "peak_mib": "Peak memory, MiB"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for stage, colour in COLOURS.items():
            own = [row for row in rows if row["stage"] == stage]
            if not own:
                continue
            slope = slopes.get(f"slope_{stage}_{key}")
            label = stage if slope is None else f"{stage}, slope {slope:.2f}"
            axes.plot([row["events"] for row in own], [row[key] for row in own], "o-",
                      color=colour, label=label)  # fmt: skip
        axes.set(title=title, xlabel="events", xscale="log", yscale="log")
        axes.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)
    print(path.relative_to(report.ROOT))


if __name__ == "__main__":
    main()
