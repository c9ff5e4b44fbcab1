"""A fit in a process of its own: what it is told, what it says, and when it stops.

It runs in the peers' environment as well as in the project's, so it imports nothing of the
project. Tables are Parquet, everything else is JSON.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

PLACES = 10
TASKS = ("all", "new")
COLUMNS = ["task", "user_id", "product_id", "rank"]


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        model: what is fitted.
        inputs: folder of one cut, see ``prepare.py``.
        out: folder for the lists and the figures.
        settings: of the model; ``epochs`` and the like are the most that may be trained.
        seed: of the model.
        validate: whether ``truth.parquet`` of the inputs may be looked at, to choose epochs.
        threads: how many the process may use.
    """

    model: str
    inputs: Path
    out: Path
    settings: dict[str, Any]
    seed: int
    validate: bool
    threads: int

    @classmethod
    def read(cls, path: Path) -> "Job":
        told = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**told, "inputs": Path(told["inputs"]), "out": Path(told["out"])})

    def write(self) -> Path:
        """Leave it in its own folder; the file's path."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "job.json"
        told = {**asdict(self), "inputs": str(self.inputs), "out": str(self.out)}
        path.write_text(json.dumps(told, indent=2), encoding="utf-8")
        return path

    def table(self, name: str) -> pd.DataFrame:
        """A table of the inputs."""
        return pd.read_parquet(self.inputs / f"{name}.parquet")


@dataclass
class Report:
    """What a fit says. Seconds are wall clock.

    Attributes:
        seconds_features: making what the model reads.
        seconds_fit: training; without the making of lists.
        seconds_recommend: the lists of everybody who is asked.
        peak_mib: the most memory that the process has held, imports included.
        model_bytes: size on disk of what answers requests.
        settings: to fit again with.
        steps: ``step`` and ``seconds`` of training so far, where the model counts steps.
    """

    seconds_features: float = 0.0
    seconds_fit: float = 0.0
    seconds_recommend: float = 0.0
    peak_mib: float = 0.0
    model_bytes: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, float]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        self.peak_mib = peak_mib()
        text = json.dumps(asdict(self), indent=2)
        (folder / "report.json").write_text(text, encoding="utf-8")


class Stopwatch:
    """Counts seconds while it is not paused."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = perf_counter()

    def pause(self) -> float:
        """Stop counting; the seconds so far."""
        self.seconds += perf_counter() - self._began
        return self.seconds

    def go_on(self) -> None:
        self._began = perf_counter()


class Watch:
    """Sees the lists after every few steps of a fit, and says when more steps do not help.

    The judge chooses the step afterwards, from the lists that are kept here; the NDCG here only
    ends a fit early.
    """

    def __init__(self, job: Job, every: int, patience: int) -> None:
        self.steps: list[dict[str, float]] = []
        self._truth = job.table("truth") if job.validate else None
        self._every, self._patience = every, patience
        self._lists: list[pd.DataFrame] = []
        self._best, self._since = -1.0, 0
        self.stopwatch = Stopwatch()

    def after(self, step: int, lists: Callable[[], pd.DataFrame]) -> bool:
        """Call it after each step; true: stop."""
        seconds = self.stopwatch.pause()
        stop = False
        if self._truth is not None and step % self._every == 0:
            found = lists()
            score = mean_ndcg(self._truth, found)
            self.steps.append({"step": step, "seconds": seconds, "ndcg": score})
            self._lists.append(found.assign(step=step))
            self._since = 0 if score > self._best else self._since + 1
            self._best = max(score, self._best)
            stop = self._since >= self._patience
        self.stopwatch.go_on()
        return stop

    def write(self, folder: Path) -> None:
        if self._lists:
            pd.concat(self._lists).to_parquet(folder / "steps.parquet", index=False)


def mean_ndcg(truth: pd.DataFrame, lists: pd.DataFrame) -> float:
    """NDCG@10 with binary gains and min(10, relevant) ideal hits, averaged over the tasks."""
    key = ["task", "user_id"]
    hits = lists[lists["rank"] <= PLACES].merge(truth, on=[*key, "product_id"])
    gain = (1 / np.log2(hits["rank"] + 1)).groupby([hits[name] for name in key]).sum()
    relevant = truth.groupby(key).size().clip(upper=PLACES)
    ideal = np.cumsum(1 / np.log2(np.arange(2, PLACES + 2)))
    value = gain.reindex(relevant.index, fill_value=0.0) / ideal[relevant.to_numpy() - 1]
    return float(value.groupby(level="task").mean().reindex(TASKS, fill_value=0.0).mean())


def learned_from(job: Job) -> pd.DataFrame:
    """``user_id, product_id, timestamp``: the target events, or with ``events: all`` every one."""
    events = job.table("interactions")
    return events if job.settings.get("events") == "all" else events[events["target"]]


def taken_before(job: Job) -> pd.DataFrame:
    """``user_id, product_id`` of the target events."""
    events = job.table("interactions")
    return events.loc[events["target"], ["user_id", "product_id"]].drop_duplicates()


def with_popular(job: Job, lists: pd.DataFrame) -> pd.DataFrame:
    """Give everybody who is asked and has no list the products that are popular at the cut."""
    popular = job.table("popular")["product_id"].to_numpy()
    taken = taken_before(job).groupby("user_id")["product_id"].agg(set)
    parts = [lists[COLUMNS]]
    asked = set(job.table("asked")["user_id"])
    for task in TASKS:
        without = asked - set(lists.loc[lists["task"] == task, "user_id"])
        for user in sorted(without):
            out = taken.get(user, set()) if task == "new" else set()
            best = [product for product in popular if product not in out][:PLACES]
            rank = np.arange(1, len(best) + 1)
            row = {"task": task, "user_id": user, "product_id": best, "rank": rank}
            parts.append(pd.DataFrame(row))
    return pd.concat(parts, ignore_index=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def peak_mib() -> float:
    """The most memory that this process has held.

    Linux keeps ``ru_maxrss`` of the process that started this one, so the kernel's own line for
    this program is read where there is one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        for line in lines:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
