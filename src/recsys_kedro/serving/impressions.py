"""The log of what was shown, off the request's way: offered in microseconds, written by a thread.

A request never waits for the log and never fails because of it. What cannot be written is tried
again; what no longer fits into the queue is dropped and counted.
"""

import atexit
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from recsys_kedro.serving.histories import Asked
from recsys_kedro.serving.requests import RecommendationAnswer
from recsys_kedro.serving.telemetry import Telemetry

LOGGER = logging.getLogger(__name__)

MOST_AT_ONCE = 1_000
TEND_EVERY_S = 1.0
RETRY_AFTER_S = 1.0
TROUBLE_EVERY_S = 60.0  # a complaint in the log, and a new try at what was due
CLOSE_WITHIN_S = 10.0


@dataclass(frozen=True)
class ShownAnswer:
    """An answer and what else the log needs to know of it.

    Attributes:
        answer: as it went out; not to be changed any more.
        timestamp: UTC, of the request.
        history_length: past events that the model saw, to compare serving with training.
        session_id: the visit, where the request named it.
        device_type: where the request named it.
        variants: of each A/B test that the user takes part in; who is forced into a variant,
            for testing, does not.
        inputs: what the model was given, of a sample.
    """

    answer: RecommendationAnswer
    timestamp: datetime
    history_length: int
    session_id: str | None = None
    device_type: str | None = None
    variants: Mapping[str, str] = field(default_factory=dict)
    inputs: Asked | None = None


class ImpressionSink(Protocol):
    """Where the log goes: files, or a stream. One thread calls it."""

    def write(self, shown: Sequence[ShownAnswer]) -> None:
        """Take all of these over for good, in order.

        Raises:
            OSError: if that cannot be done now; nothing was taken, and they will come again.
        """

    def tend(self) -> None:
        """Do what is due; called about once a second, also while nothing is shown."""

    def close(self) -> None:
        """Finish; nothing comes after it."""


class ImpressionLog:
    """A bounded queue before a sink, and the thread that empties it.

    Attributes:
        dropped: answers with products that are not in the log.
        failures: how often the sink has failed.
    """

    def __init__(self, sink: ImpressionSink, capacity: int, telemetry: Telemetry) -> None:
        """Start the thread.

        Args:
            sink: where the answers go.
            capacity: answers that may wait.
            telemetry: is told of what waits, is dropped or fails.
        """
        self.dropped = 0
        self.failures = 0
        self._problems: dict[str, str] = {}
        self._sink, self._capacity, self._telemetry = sink, capacity, telemetry
        # Its cheap put is why it is not a Queue with a bound of its own; threads that ask at
        # the same moment may exceed the capacity by one each.
        self._queue: queue.SimpleQueue[ShownAnswer | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._counting = threading.Lock()
        self._tend_at = self._complain_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def offer(self, shown: ShownAnswer) -> None:
        """Log an answer soon, or drop it: this neither waits nor raises."""
        if not shown.answer.items:
            return
        if self._closing.is_set() or self._queue.qsize() >= self._capacity:
            self._drop(1)
        else:
            self._queue.put(shown)

    @property
    def problem(self) -> str | None:
        """What the sink said when it last failed; None once it works again."""
        return "; ".join(self._problems.values()) or None

    def close(self) -> None:
        """Write what waits and end the thread; what a failing sink does not take is dropped."""
        atexit.unregister(self.close)
        self._closing.set()
        self._queue.put(None)
        self._thread.join(CLOSE_WITHIN_S)

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            self._deliver(self._take())
            self._tend()
        self._attempt("close", self._sink.close)

    def _take(self) -> list[ShownAnswer]:
        """What waits; nothing after a second without any."""
        taken: list[ShownAnswer | None] = []
        with suppress(queue.Empty):
            taken.append(self._queue.get(timeout=TEND_EVERY_S))
            while len(taken) < MOST_AT_ONCE:
                taken.append(self._queue.get_nowait())
        return [shown for shown in taken if shown is not None]

    def _deliver(self, shown: list[ShownAnswer]) -> None:
        """Write them, again and again if need be."""
        while shown:
            self._telemetry.impressions_queued(self._queue.qsize() + len(shown))
            error = self._attempt("write", lambda: self._sink.write(shown))
            if error is None:
                break
            if self._closing.is_set() or not isinstance(error, OSError):
                self._drop(len(shown))
                break
            self._closing.wait(RETRY_AFTER_S)
        self._telemetry.impressions_queued(self._queue.qsize())

    def _tend(self) -> None:
        if time.monotonic() < self._tend_at:
            return
        error = self._attempt("tend", self._sink.tend)
        pause = TEND_EVERY_S if error is None else TROUBLE_EVERY_S
        self._tend_at = time.monotonic() + pause

    def _attempt(self, step: str, work: Callable[[], None]) -> Exception | None:
        """What the sink raised, if it did; it is counted and, once a minute, in the server's log.

        Whatever it is, the thread goes on: the next answers may be written.
        """
        try:
            work()
        except Exception as error:
            self.failures += 1
            self._problems[step] = str(error)
            self._telemetry.impressions_failed()
            if time.monotonic() >= self._complain_at:
                self._complain_at = time.monotonic() + TROUBLE_EVERY_S
                LOGGER.exception(
                    "what is shown cannot be logged: %s; %d failures, %d answers dropped so far",
                    error,
                    self.failures,
                    self.dropped,
                )
            return error
        self._problems.pop(step, None)
        return None

    def _drop(self, answers: int) -> None:
        with self._counting:
            self.dropped += answers
        self._telemetry.impressions_dropped(answers)
