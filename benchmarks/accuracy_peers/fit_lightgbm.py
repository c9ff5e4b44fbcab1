"""LightGBM's LambdaRank as the second stage behind the project's own candidates.

``python -m accuracy_peers.fit_lightgbm job.json``, in the peers' environment. Candidates and pair
features are the project's, for learning and for the lists: what differs from the hybrid is
the ranker, and the source of candidates that the hybrid's network is itself. Settings:
``rounds`` (trees at most), ``every``, ``patience``, ``per_task`` (a ranker of its own for
products that are new to the user), ``hidden`` (families of scores that it is not shown: with the
project's trained scorers hidden it is the two-stage recommender of a shop that has none of them);
the rest are LightGBM's parameters.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import load_file

from accuracy_peers import job as peer

OWN = ("rounds", "every", "patience", "per_task", "hidden")


@dataclass(frozen=True)
class Rows:
    """N rows in Q lists.

    Attributes:
        features: (N, F).
        query: (N,) the list of each row, ascending.
        taken: (N,) whether the user had taken the product before.
        label: (N,) whether it was taken afterwards, or None where lists are made.
        product: (N,) product index.
    """

    features: np.ndarray
    query: np.ndarray
    taken: np.ndarray
    label: np.ndarray | None
    product: np.ndarray

    def where(self, keep: np.ndarray) -> "Rows":
        label = None if self.label is None else self.label[keep]
        kept = self.features[keep], self.query[keep], self.taken[keep], label, self.product[keep]
        return Rows(*kept)


def shown_features(job: peer.Job) -> np.ndarray:
    """The columns of the pair features that are of no hidden family."""
    with safe_open(job.inputs / "lists" / "lists.safetensors", "np") as file:
        names = json.loads(file.metadata()["feature_names"])
    hidden = tuple(f"{family}_" for family in job.settings.get("hidden", ()))
    return np.flatnonzero([not name.startswith(hidden) for name in names])


def read_rows(folder: Path, shown: np.ndarray) -> Rows:
    """Training lists, or the candidates of a cut, with some of their features.

    What no source proposed is left out of the training lists, since it is not ranked.
    """
    (file,) = folder.glob("*.safetensors")
    arrays = load_file(file)
    query = np.repeat(np.arange(len(arrays["offsets"]) - 1), np.diff(arrays["offsets"]))
    features = arrays["features"][:, shown]
    rows = Rows(features, query, arrays["taken"], arrays.get("label"), arrays["product"])
    return rows.where(arrays["proposed"]) if "proposed" in arrays else rows


def data_of(rows: Rows) -> lgb.Dataset:
    sizes = np.unique(rows.query, return_counts=True)[1]
    features = rows.features.astype(np.float32)
    return lgb.Dataset(features, rows.label, group=sizes, free_raw_data=True).construct()


class Rankers:
    """One ranker, or one for each task."""

    def __init__(self, job: peer.Job, shown: np.ndarray) -> None:
        rows = read_rows(job.inputs / "lists", shown)
        data = [data_of(rows)]
        if job.settings.get("per_task"):
            data.append(data_of(rows.where(~rows.taken)))
        own = {name: value for name, value in job.settings.items() if name not in OWN}
        parameters = {
            "objective": "lambdarank",
            "verbosity": -1,
            "deterministic": True,
            "seed": job.seed,
            "num_threads": job.threads,
            **own,
        }
        self._data = data  # LightGBM keeps no reference of its own
        self.boosters = [lgb.Booster(parameters, each) for each in data]

    def update(self) -> bool:
        """One more tree each; true: there was nothing to split any more."""
        done = [booster.update() for booster in self.boosters]  # each of them, so no generator
        return all(done)

    def lists(self, candidates: Rows, users: np.ndarray, products: np.ndarray) -> pd.DataFrame:
        """The best candidates of each user, for both tasks."""
        parts = []
        for task, booster in zip(peer.TASKS, [*self.boosters, self.boosters[-1]], strict=False):
            rows = candidates if task == "all" else candidates.where(~candidates.taken)
            score = booster.predict(rows.features)
            order = np.lexsort((rows.product, -score, rows.query))
            table = pd.DataFrame(
                {
                    "task": task,
                    "user_id": users[rows.query[order]],
                    "product_id": products[rows.product[order]],
                }
            )
            table["rank"] = table.groupby("user_id").cumcount() + 1
            parts.append(table[table["rank"] <= peer.PLACES])
        return pd.concat(parts)


def main(path: Path) -> None:
    job = peer.Job.read(path)
    began = perf_counter()
    shown = shown_features(job)
    rankers = Rankers(job, shown)
    report = peer.Report(seconds_features=perf_counter() - began)
    candidates = read_rows(job.inputs / "candidates", shown)
    users = job.table("candidates/users")["user_id"].to_numpy()
    products = job.table("candidates/products")["id"].to_numpy()

    def lists() -> pd.DataFrame:
        return peer.with_popular(job, rankers.lists(candidates, users, products))

    told: dict[str, Any] = job.settings
    watch = peer.Watch(job, told.get("every", 25), told.get("patience", 3))
    for step in range(1, told["rounds"] + 1):
        if rankers.update() or watch.after(step, lists):
            break
    report.seconds_fit = watch.stopwatch.pause()
    began = perf_counter()
    lists().to_parquet(job.out / "lists.parquet", index=False)
    report.seconds_recommend = perf_counter() - began
    for number, booster in enumerate(rankers.boosters):
        booster.save_model(job.out / f"model_{number}.txt")
    report.model_bytes = sum(peer.size_of(file) for file in job.out.glob("model_*.txt"))
    report.settings, report.steps = job.settings, watch.steps
    watch.write(job.out)
    report.write(job.out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
