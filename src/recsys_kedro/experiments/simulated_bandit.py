"""A simulated log of choices with known propensities and a known value of any policy.

Axes: S situations, A choices, N logged rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.experiments.off_policy import LoggedChoices


@dataclass(frozen=True)
class SimulatedBandit:
    """Situations come evenly; rewards are clicks.

    Attributes:
        logging: (S, A) probabilities of the policy that logs.
        target: (S, A) probabilities of the policy in question.
        click: (S, A) chance of a click.
    """

    logging: NDArray[np.float64]
    target: NDArray[np.float64]
    click: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The true mean reward of the target policy."""
        return float((self.target * self.click).sum(axis=1).mean())

    def log(
        self, rng: np.random.Generator, rows: int
    ) -> tuple[LoggedChoices, NDArray[np.int64], NDArray[np.int64]]:
        """Draw a log; its choices, and the (N,) situations and choices they were made of."""
        situation = rng.integers(0, len(self.logging), rows)
        edges = self.logging.cumsum(axis=1)[situation]
        choice = (rng.random(rows)[:, np.newaxis] > edges).sum(axis=1)
        choice = np.minimum(choice, self.logging.shape[1] - 1)  # edges may end below 1
        reward = (rng.random(rows) < self.click[situation, choice]).astype(np.float64)
        log = LoggedChoices(reward, self.logging[situation, choice], self.target[situation, choice])
        return log, situation, choice


def simulate_bandit(
    rng: np.random.Generator,
    situations: int,
    choices: int,
    click: float,
    sharpness: float,
) -> SimulatedBandit:
    """A uniform logging policy mixed with some preference, and a target that knows better.

    Args:
        rng: the source of chance.
        situations: S.
        choices: A.
        click: mean chance of a click.
        sharpness: how strongly the target prefers good choices; 0 is uniform.
    """
    quality = rng.normal(size=(situations, choices))
    chances = np.minimum(click * np.exp(0.6 * quality - 0.18), 1.0)
    logging = _softmax(0.5 * rng.normal(size=(situations, choices)))
    return SimulatedBandit(logging, _softmax(sharpness * quality), chances)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
