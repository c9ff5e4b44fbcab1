"""iALS and BPR of the package implicit: ``python -m accuracy_peers.fit_implicit job.json``.

Settings: ``events`` (targets or all), ``half_life_days`` and ``bm25`` weigh the matrix; the
rest are arguments of the package's class. Returns are left out.
"""

import contextlib
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import bm25_weight
from scipy import sparse
from threadpoolctl import threadpool_limits

from accuracy_peers import job as peer

KINDS = {
    "implicit_als": (AlternatingLeastSquares, 5, 3),  # lists every 5 iterations, patience 3
    "implicit_bpr": (BayesianPersonalizedRanking, 25, 3),
}
WEIGHING = ("events", "half_life_days", "bm25")


class _StopError(Exception):
    """Ends a fit from inside its callback."""


class Matrices:
    """Users by products: what is learned from, and what was taken."""

    def __init__(self, job: peer.Job) -> None:
        events = peer.learned_from(job)
        self.users = pd.Index(events["user_id"].unique())
        self.products = pd.Index(np.sort(events["product_id"].unique()))
        weight = np.ones(len(events), np.float32)
        half_life = job.settings.get("half_life_days")
        if half_life is not None:
            age = (events["timestamp"].max() - events["timestamp"]) / pd.Timedelta(days=1)
            weight = np.exp2(-age.to_numpy() / half_life).astype(np.float32)
        self.learned = self._matrix(events, weight)
        if job.settings.get("bm25"):
            self.learned = bm25_weight(self.learned.T, K1=100, B=0.8).T.tocsr()
        taken = peer.taken_before(job)
        taken = taken[taken["user_id"].isin(self.users)]
        self.taken = self._matrix(taken, np.ones(len(taken), np.float32))

    def _matrix(self, events: pd.DataFrame, weight: np.ndarray) -> sparse.csr_matrix:
        rows = self.users.get_indexer(events["user_id"])
        columns = self.products.get_indexer(events["product_id"])
        shape = len(self.users), len(self.products)
        return sparse.csr_matrix((weight, (rows, columns)), shape, dtype=np.float32)


def lists_of(model: Any, matrices: Matrices, asked: pd.Series) -> pd.DataFrame:
    """The lists of those of the asked who are in the matrix."""
    rows = matrices.users.get_indexer(asked)
    rows = rows[rows >= 0]
    parts = []
    for task in peer.TASKS:
        ids, scores = model.recommend(
            rows,
            matrices.taken[rows],
            N=min(peer.PLACES, len(matrices.products)),
            filter_already_liked_items=task == "new",
        )
        found = pd.DataFrame(
            {
                "task": task,
                "user_id": np.repeat(matrices.users[rows].to_numpy(), ids.shape[1]),
                "product_id": matrices.products[np.maximum(ids, 0).ravel()],
                "rank": np.tile(np.arange(1, ids.shape[1] + 1), len(ids)),
            }
        )
        # What is filtered out comes last, with the least score that a float has.
        parts.append(found[(scores > np.finfo(np.float32).min / 2).ravel()])
    return pd.concat(parts)


def main(path: Path) -> None:
    job = peer.Job.read(path)
    kind, every, patience = KINDS[job.model]
    began = perf_counter()
    matrices = Matrices(job)
    report = peer.Report(seconds_features=perf_counter() - began)
    arguments = {name: value for name, value in job.settings.items() if name not in WEIGHING}
    asked = job.table("asked")["user_id"]
    # One BLAS thread under implicit's own: nested threads are slow, and warned about.
    with threadpool_limits(1, "blas"):
        model = kind(**arguments, num_threads=job.threads, random_state=job.seed)
        watch = peer.Watch(job, every, patience)

        def lists() -> pd.DataFrame:
            return peer.with_popular(job, lists_of(model, matrices, asked))

        def after(iteration: int, *_: Any) -> None:
            if watch.after(iteration + 1, lists):
                raise _StopError

        with contextlib.suppress(_StopError):
            model.fit(matrices.learned, show_progress=False, callback=after)
        report.seconds_fit = watch.stopwatch.pause()
        began = perf_counter()
        lists().to_parquet(job.out / "lists.parquet", index=False)
        report.seconds_recommend = perf_counter() - began
    model.save(job.out / "model.npz")
    report.model_bytes = peer.size_of(job.out / "model.npz")
    report.settings, report.steps = job.settings, watch.steps
    watch.write(job.out)
    report.write(job.out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
