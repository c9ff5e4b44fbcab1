"""A circuit breaker: what does not answer is left alone for a while (Nygard, Release It!, 2007)."""

import time
from collections.abc import Callable
from threading import Lock


class CircuitBreaker:
    """Opens after some failures in a row; then lets one call through per pause, as a trial.

    A trial that never reports back does not jam it: the next pause brings the next trial.
    """

    def __init__(
        self, failures: int, retry_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed.

        Args:
            failures: so many in a row open it.
            retry_after_s: seconds from one trial to the next while it is open.
            clock: seconds; never goes back.
        """
        self._most, self._pause, self._clock = failures, retry_after_s, clock
        self._failed_in_a_row = 0
        self._next_trial = 0.0
        self._lock = Lock()

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._failed_in_a_row >= self._most

    def allows(self) -> bool:
        """Whether to call now; a caller that may has to report how it went."""
        if not self.is_open:
            return True
        with self._lock:
            if self._clock() < self._next_trial:
                return False
            self._next_trial = self._clock() + self._pause
            return True

    def succeeded(self) -> None:
        """The call went well: close."""
        with self._lock:
            self._failed_in_a_row = 0

    def failed(self) -> None:
        """The call failed: one more in a row."""
        with self._lock:
            self._failed_in_a_row += 1
            self._next_trial = self._clock() + self._pause
