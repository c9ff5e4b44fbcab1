"""A model of the project's registry: ``python -m accuracy_peers.fit_ours job.json``.

An iterative model watches the validation as in the pipeline, where the job allows it.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from time import perf_counter

import polars as pl
import torch

from accuracy_peers import job as peer
from recsys_kedro.fitting import fit_model, recommend_tasks
from recsys_kedro.models.base import TrainingData, Validation
from recsys_kedro.models.training import SCORE
from recsys_kedro.queries import Queries
from recsys_kedro.training_lists import TrainingLists

NEEDS_LISTS = ("hybrid",)


def read_data(job: peer.Job, queries: Queries) -> TrainingData:
    """Everything before the cut."""
    about = json.loads((job.inputs / "cut.json").read_text(encoding="utf-8"))
    tables = {
        name: pl.read_parquet(job.inputs / f"{name}.parquet")
        for name in ("events", "products", "users")
    }
    truth = pl.read_parquet(job.inputs / "truth.parquet") if job.validate else None
    ranks = job.model in NEEDS_LISTS
    return TrainingData(
        **tables,
        cut=datetime.fromisoformat(about["cut"]),
        target_event_types=tuple(about["target_event_types"]),
        product_snapshots=pl.read_parquet(job.inputs / "snapshots.parquet") if ranks else None,
        lists=TrainingLists.load(job.inputs / "lists") if ranks else None,
        validation=None if truth is None else Validation(queries, truth),
    )


def main(path: Path) -> None:
    job = peer.Job.read(path)
    torch.set_num_threads(job.threads)
    queries = Queries.load(job.inputs / "queries")
    data = read_data(job, queries)
    report = peer.Report()
    began = perf_counter()
    model = fit_model(job.model, job.settings, data, job.seed)
    report.seconds_fit = perf_counter() - began
    epochs: list[dict[str, float]] = getattr(model, "epochs", [])
    seconds = report.seconds_fit - sum(epoch["seconds"] for epoch in epochs)
    for epoch in epochs:
        seconds += epoch["seconds"]
        step = {"step": epoch["epoch"], "seconds": seconds}
        report.steps.append({**step, "ndcg": epoch[SCORE]} if SCORE in epoch else step)
    began = perf_counter()
    lists = recommend_tasks(model, queries)
    report.seconds_recommend = perf_counter() - began
    lists.select(peer.COLUMNS).write_parquet(job.out / "lists.parquet")
    model.save(job.out / "model")
    report.model_bytes = peer.size_of(job.out / "model")
    options = getattr(model, "options", None)
    report.settings = json.loads(options.model_dump_json()) if options else job.settings
    report.write(job.out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
