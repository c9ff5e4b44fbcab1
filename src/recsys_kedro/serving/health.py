"""What a worker says of itself: whether it answers, and what it has to do without."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

LOGGER = logging.getLogger(__name__)

Problem = Callable[[], str | None]


@dataclass(frozen=True)
class HealthReport:
    """The state of one worker at one moment.

    Attributes:
        ready: whether it has loaded a model and answered with it.
        degraded: by part, what is wrong with it; answers are given all the same.
        model: by name and version; empty until it is ready.
    """

    ready: bool
    degraded: dict[str, str]
    model: str


class Health:
    """Collects what is known of the parts of a worker."""

    def __init__(self) -> None:
        self._model = ""
        self._problems: dict[str, Problem] = {}

    def watch(self, part: str, problem: Problem) -> None:
        """Ask ``problem`` at each report: a sentence, or None while all is well. It must be quick.

        Args:
            part: as operators know it, for example ``redis``.
            problem: looks, and does not try; it may raise, which is a problem too.
        """
        self._problems[part] = problem

    def ready(self, model: str, version: str) -> None:
        """The model is loaded and has answered a request."""
        self._model = f"{model}/{version}"

    def report(self) -> HealthReport:
        """The state now."""
        asked = {part: _ask(part, problem) for part, problem in self._problems.items()}
        degraded = {part: problem for part, problem in asked.items() if problem is not None}
        return HealthReport(bool(self._model), degraded, self._model)


def _ask(part: str, problem: Problem) -> str | None:
    try:
        return problem()
    except Exception as error:
        # What cannot be looked at is not well; whoever asks for the health gets an answer.
        LOGGER.exception("the health of %s is not known", part)
        return f"{type(error).__name__}: {error}"
