"""What a server counts and times, for Prometheus.

A server has several worker processes, and any of them may be asked for the metrics of all. That
works where the environment variable ``PROMETHEUS_MULTIPROC_DIR`` names a folder that is empty
when the server starts: the workers then count in files there. It has to be set before this
module is imported, since ``prometheus_client`` chooses how to count when it is first imported;
``make serve`` exports it. Without it a worker counts, and shows, for itself alone.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from recsys_kedro.serving.requests import RecommendationAnswer

MULTIPROC_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
TOTAL: Final = "total"
STORE: Final = "store"
SCORE: Final = "score"
WORKERS_READY: Final = "recsys_workers_ready"
# Seconds. Close together where the answers of a healthy server are, 0.5 to 250 ms.
LATENCIES: Final = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03,
    0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0,
)  # fmt: skip
# Scores have the scale of their model, from probabilities to counts of buyers.
SPREADS: Final = (0.0, *(value * 10.0**power for power in range(-3, 4) for value in (1, 3)))


Labelled = TypeVar("Labelled", Counter, Histogram)


class _ByLabel(dict[str, Labelled]):
    """A metric with one label, by its values; looking a known one up costs next to nothing."""

    def __init__(self, metric: Labelled) -> None:
        super().__init__()
        self._metric: Labelled = metric

    def __missing__(self, value: str) -> Labelled:
        return self.setdefault(value, self._metric.labels(value))


class Telemetry:
    """The metrics of one worker; with ``PROMETHEUS_MULTIPROC_DIR``, one per process."""

    def __init__(self) -> None:
        folder = os.environ.get(MULTIPROC_DIR)
        self._folder = Path(folder) if folder else None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._registry = own = CollectorRegistry()

        def counter(name: str, what: str, label: str) -> _ByLabel[Counter]:
            return _ByLabel(Counter(f"recsys_{name}", what, [label], registry=own))

        self._requests = counter("requests", "Requests by what came of them.", "outcome")
        self._fallbacks = counter("fallbacks", "Answers that the model did not give.", "kind")
        self._errors = counter("errors", "What went wrong and was made up for.", "stage")
        self._lookups = counter("cache_lookups", "Lists looked up in the cache.", "result")
        self._candidates = counter("candidates", "Products that were ranked.", "source")
        self._shown = counter("shown", "Products in answers.", "source")
        self._stages = _ByLabel(
            Histogram(
                "recsys_stage_seconds",
                "Time that a stage of answering took; total is from arrival to answer.",
                ["stage"],
                buckets=LATENCIES,
                registry=own,
            )
        )
        self._spread = Histogram(
            "recsys_score_spread",
            "Highest less lowest score of a list of the model.",
            buckets=SPREADS,
            registry=own,
        )
        self._dropped = Counter(
            "recsys_impressions_dropped", "Answers that were not logged.", registry=own
        )
        self._failures = Counter(
            "recsys_impressions_failures", "Failed attempts to log answers.", registry=own
        )
        # Of the workers that are alive, added up.
        self._queued = Gauge(
            "recsys_impressions_queued",
            "Answers that wait to be logged.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._breaker = Gauge(
            "recsys_store_breaker_open",
            "Workers that leave the online store alone since it does not answer.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._serving = Gauge(
            WORKERS_READY,
            "Workers that have loaded a model and answered with it.",
            ["model", "version"],
            multiprocess_mode="livesum",
            registry=own,
        )

    @property
    def counts_for_all(self) -> bool:
        """Whether :meth:`exposition` has the metrics of all workers."""
        return self._folder is not None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that raises counts as an error too, and raises on."""
        start = time.perf_counter()
        try:
            yield
        except Exception:
            self.failed(name)
            raise
        finally:
            self.observe(name, time.perf_counter() - start)

    def observe(self, stage: str, seconds: float) -> None:
        """Note the time of a stage that was measured elsewhere."""
        self._stages[stage].observe(seconds)

    def failed(self, stage: str) -> None:
        """Count an error that the answer made up for."""
        self._errors[stage].inc()

    def cache_lookup(self, *, hit: bool) -> None:
        """Count one list that was looked up in the cache."""
        self._lookups["hit" if hit else "miss"].inc()

    def candidates(self, by_source: Mapping[str, int]) -> None:
        """Count what was ranked for one request."""
        for source, count in by_source.items():
            self._candidates[source].inc(count)

    def answered(self, answer: RecommendationAnswer) -> None:
        """Count one answer: what came of it, its latency, sources and scores."""
        self._requests[_outcome(answer)].inc()
        self.observe(TOTAL, answer.latency_ms / 1_000)
        for item in answer.items:
            self._shown[item.source].inc()
        if answer.degraded is not None:
            self.failed(STORE)
        if answer.fallback is not None:
            self._fallbacks[answer.fallback].inc()
        elif answer.items:
            self._scores([item.score for item in answer.items])

    def _scores(self, scores: list[float]) -> None:
        """Only differences within a list mean something; near 0 the model tells nothing apart."""
        if all(map(math.isfinite, scores)):
            self._spread.observe(max(scores) - min(scores))
        else:
            self.failed(SCORE)

    def impressions_queued(self, answers: int) -> None:
        """How many answers wait to be logged."""
        self._queued.set(answers)

    def impressions_dropped(self, answers: int) -> None:
        """Count answers that were not logged."""
        self._dropped.inc(answers)

    def impressions_failed(self) -> None:
        """Count a failed attempt to log."""
        self._failures.inc()

    def store_breaker(self, *, is_open: bool) -> None:
        """Whether this worker leaves the online store alone."""
        self._breaker.set(is_open)

    def ready(self, model: str, version: str) -> None:
        """This worker has loaded this model and answered with it."""
        self._serving.labels(model, version).set(1)

    def workers_ready(self) -> int:
        """How many workers are alive and ready, as far as this one knows."""
        return sum(
            int(sample.value)
            for metric in self._everybody().collect()
            for sample in metric.samples
            if sample.name == WORKERS_READY
        )

    def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self._everybody())

    def _everybody(self) -> CollectorRegistry:
        """The metrics of all workers, without the gauges of those that have died."""
        if self._folder is None:
            return self._registry
        for pid in {int(path.stem.rsplit("_", 1)[1]) for path in self._folder.glob("gauge_*.db")}:
            if not _is_alive(pid):
                with suppress(FileNotFoundError):  # another thread or worker was faster
                    # prometheus_client has no types here, nor for `merge` below.
                    mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        everybody = CollectorRegistry()
        everybody.register(_OfAllWorkers(self._folder))
        return everybody


class _OfAllWorkers(Collector):
    """The sums over the workers' files.

    ``MultiProcessCollector`` fails on a file that a worker is just making: it is empty at first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._folder.glob("*.db") if _is_begun(path)]
        sums: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return sums


def _is_begun(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a worker that has died
        return False


def _outcome(answer: RecommendationAnswer) -> str:
    if answer.error is not None:
        return "refused"
    if not answer.items:
        return "empty"
    return "model" if answer.fallback is None else "fallback"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
