"""Fits every model in a process of its own, chooses its setting and judges it."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import report

from accuracy_peers.job import Job
from accuracy_peers.judging import SEED, WINDOW, best_step, score_of, values_by_user
from accuracy_peers.prepare import INPUTS, Spec
from accuracy_peers.trials import KINDS, Kind
from accuracy_peers.windows import Protocol, Window
from recsys_kedro import columns as c

BENCHMARKS = report.ROOT / "benchmarks"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


class FitError(RuntimeError):
    """A fit that ended badly; the message is the last line that it said."""


@dataclass(frozen=True)
class Measured:
    """One model.

    Attributes:
        values: ``model, seed, window, task, user_id, ndcg@10, hr@10`` on the judged windows.
        settings: what was chosen.
        trials: how many settings were tried.
        score: of the choice, on the window that chose.
        seconds: of one judged fit with its features; the median over windows and seeds.
        seconds_features: the part of it that is spent on features and training lists.
        seconds_to_best: of the chosen trial, until its best step, features included.
        seconds_choosing: of all trials together.
        peak_mib: the most memory of any of its judged fits, or of its lists.
        model_mb: size on disk, of the last fit.
    """

    values: pl.DataFrame
    settings: dict[str, Any]
    trials: int
    score: float
    seconds: float
    seconds_features: float
    seconds_to_best: float
    seconds_choosing: float
    peak_mib: float
    model_mb: float


@dataclass(frozen=True)
class Workshop:
    """Where fits run.

    Attributes:
        folder: of the inputs and of the fits.
        protocol: the windows.
        prepared: what preparing the inputs took, see ``prepare.py``.
        python: the interpreter of a kind of model.
        threads: of each process.
        seed: the first one.
        resume: whether a fit of an earlier run with the same job is taken as it is.
    """

    folder: Path
    protocol: Protocol
    prepared: Mapping[str, Any]
    python: Callable[[Kind], Path]
    threads: int
    seed: int
    resume: bool
    log: Callable[[str], None] = field(default=print)

    def measure(self, model: str, trials: list[dict[str, Any]], seeds: int) -> Measured:
        """Try all settings before the judged windows, then fit the best for each of them.

        Raises:
            FitError: if a fit ends badly.
        """
        kind = KINDS[model]
        tried = [
            self._try(model, kind, number, trial) for number, trial in enumerate(trials, start=1)
        ]
        score, settings, to_best, _ = max(tried, key=lambda trial: trial[0])
        reports, values = [], []
        for window in self.protocol.judged:
            for seed in range(self.seed, self.seed + (seeds if kind.seeded else 1)):
                job = self._job(model, window, settings, seed, f"judged-{seed}", validate=False)
                reports.append(self._run(job, kind, window))
                found = values_by_user(_truth(job), pl.read_parquet(job.out / "lists.parquet"))
                labels = {c.MODEL: model, SEED: seed, WINDOW: window.name}
                values.append(found.with_columns(pl.lit(v).alias(n) for n, v in labels.items()))
        peaks = [each["peak_mib"] for each in reports]
        features = [each["seconds_features"] for each in reports]
        return Measured(
            values=pl.concat(values),
            settings=settings,
            trials=len(tried),
            score=score,
            seconds=statistics.median(seconds_of(each) for each in reports),
            seconds_features=statistics.median(features),
            seconds_to_best=to_best,
            seconds_choosing=sum(trial[3] for trial in tried),
            peak_mib=max([*peaks, self.prepared["peak_mib"]] if kind.lists else peaks),
            model_mb=reports[-1]["model_bytes"] / 1e6,
        )

    def _try(
        self, model: str, kind: Kind, number: int, trial: dict[str, Any]
    ) -> tuple[float, dict[str, Any], float, float]:
        """Score, settings to fit again with, seconds to the best step and seconds of one trial."""
        window = self.protocol.choice
        job = self._job(model, window, trial, self.seed, f"trial-{number}", validate=True)
        said = self._run(job, kind, window)
        truth, settings, steps = _truth(job), said["settings"], said["steps"]
        whole, seconds = seconds_of(said), said["seconds_fit"]
        if kind.steps is not None and (job.out / "steps.parquet").is_file():
            best, score = best_step(truth, pl.read_parquet(job.out / "steps.parquet"))
            settings = {**settings, kind.steps: best}
            seconds = next(each["seconds"] for each in steps if each["step"] == best)
        else:
            score = score_of(truth, pl.read_parquet(job.out / "lists.parquet"))
            if any("ndcg" in each for each in steps):
                seconds = max(steps, key=lambda each: each["ndcg"])["seconds"]
        to_best = said["seconds_features"] + seconds
        self.log(f"{model} trial {number}: {score:.4f} {whole:.1f} s")
        return score, settings, to_best, whole

    def _job(
        self,
        model: str,
        window: Window,
        settings: dict[str, Any],
        seed: int,
        name: str,
        *,
        validate: bool,
    ) -> Job:
        return Job(
            model=model,
            inputs=self.folder / INPUTS / window.name,
            out=self.folder / "fits" / model / f"{window.name}-{name}",
            settings=settings,
            seed=seed,
            validate=validate,
            threads=self.threads,
        )

    def _run(self, job: Job, kind: Kind, window: Window) -> dict[str, Any]:
        """Fit; the cut's share of the training lists counts as features."""
        done = job.out / "report.json"
        earlier = job.out / "job.json"
        before = earlier.read_text(encoding="utf-8") if done.is_file() else None
        if not self.resume or before is None or before != job.write().read_text(encoding="utf-8"):
            shutil.rmtree(job.out, ignore_errors=True)
            call(self.python(kind), kind.module, job.write(), self.threads)
        said: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        if kind.lists:
            share = self.prepared["shares"][window.name]
            said["seconds_features"] += share * sum(self.prepared["seconds"].values())
        if kind.candidates:  # the hybrid makes its own scorers within its fit
            said["seconds_features"] += self.prepared["seconds_scorers"][window.name]
        return said


def prepare(spec: Spec, threads: int, *, resume: bool) -> dict[str, Any]:
    """Write the inputs of all cuts; what that took."""
    path, done = spec.folder / "spec.json", spec.folder / "prepared.json"
    before = path.read_text(encoding="utf-8") if done.is_file() else None
    spec.folder.mkdir(parents=True, exist_ok=True)
    spec.write(path)
    if not resume or before != path.read_text(encoding="utf-8"):
        done.unlink(missing_ok=True)
        call(Path(sys.executable), "prepare", path, threads)
    prepared: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return prepared


def seconds_of(said: Mapping[str, Any]) -> float:
    """Features and training."""
    return float(said["seconds_features"] + said["seconds_fit"])


def call(python: Path, module: str, told: Path, threads: int) -> None:
    """Run a module of this package.

    Raises:
        FitError: if it ends badly.
    """
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    environment |= dict.fromkeys(THREADS, str(threads))
    command = [str(python), "-m", f"accuracy_peers.{module}", str(told)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    (told.parent / "log.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        msg = f"{module} ended with {done.returncode}: {lines[-1].strip()} (see {told.parent})"
        raise FitError(msg)


def _truth(job: Job) -> pl.DataFrame:
    return pl.read_parquet(job.inputs / "truth.parquet")
