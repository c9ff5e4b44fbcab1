"""What a policy would have earned, estimated from the log of another one, before any test.

Each logged choice carries the probability with which it was made (propensity); weights
``w = target / propensity`` turn the log into what the target policy would have met.

- Inverse propensity scores: ``mean(w r)``. Horvitz and Thompson (1952).
- Self-normalised: ``sum(w r) / sum(w)``, steadier, biased by O(1/n). Swaminathan and Joachims
  (2015), "The Self-Normalized Estimator for Counterfactual Learning".
- Doubly robust: ``mean(v + w (r - q))`` with a reward model's prediction q of what was logged and
  v of what the target would choose. Dudík, Langford and Li (2011), "Doubly Robust Policy
  Evaluation and Learning".

All three are ratios of sums over units, so the standard error is the delta method's over units.
With few clicks the estimate is skewed: the interval is made on the logarithm, with Student's
quantile at as many degrees of freedom as rewards effectively count, less one. The plain normal
one covers too rarely then; ``benchmarks/experiments.py`` counts both.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats

from recsys_kedro.options import Options

_SURPRISE: Final = 3.0  # standard errors of the mean weight from 1
_NEGLIGIBLE: Final = 0.01  # propensities are rounded somewhere


class OffPolicyOptions(Options):
    """How estimates are made and when they are not believed."""

    confidence: float = Field(0.95, gt=0, lt=1)
    clip: float | None = Field(
        None, gt=0, description="largest weight; steadier and biased; empty: none, unbiased"
    )
    least_effective_rewards: float = Field(
        10, ge=2, description="fewer rewards that effectively count are no ground for an answer"
    )


@dataclass(frozen=True)
class LoggedChoices:
    """N logged choices, one per impression.

    Attributes:
        reward: (N,) what followed, e.g. 1 for a click, or revenue; at least 0.
        propensity: (N,) probability of the choice under the policy that logged it.
        target: (N,) its probability under the policy in question, in the same situation.
        unit: (N,) code of the user, whose choices are not independent; None: each is its own.

    Raises:
        ValueError: if a propensity is not in (0, 1] or a target not in [0, 1].
    """

    reward: NDArray[np.float64]
    propensity: NDArray[np.float64]
    target: NDArray[np.float64]
    unit: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        bad = ~((self.propensity > 0) & (self.propensity <= 1))
        if bad.any():
            row = int(bad.argmax())
            msg = f"propensity: {bad.sum()} values not in (0, 1] (first: row {row}, "
            raise ValueError(f"{msg}{self.propensity[row]}); a choice that was made has one")
        bad = ~((self.target >= 0) & (self.target <= 1))
        if bad.any():
            row = int(bad.argmax())
            msg = f"target: {bad.sum()} values not in [0, 1] (first: row {row}, "
            raise ValueError(f"{msg}{self.target[row]})")

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,) unclipped."""
        return self.target / self.propensity


@dataclass(frozen=True)
class PolicyValue:
    """The estimated mean reward per choice of the target policy.

    Attributes:
        value: the estimate.
        error: standard error.
        low: lower end of the interval; NaN where no reward came.
        high: upper end, likewise.
        effective_sample: choices of the target policy that the log is worth,
            ``sum(w)^2 / sum(w^2)``. Kish (1965).
        effective_rewards: rewards that it is worth.
        clipped: share of the weight that clipping took away; bounds the relative bias.
        doubts: why the log cannot answer; empty if it can.
    """

    value: float
    error: float
    low: float
    high: float
    effective_sample: float
    effective_rewards: float
    clipped: float
    doubts: tuple[str, ...]


def inverse_propensity(log: LoggedChoices, options: OffPolicyOptions) -> PolicyValue:
    """Unbiased without clipping, if the log could have made every choice of the target."""
    weights = _clipped(log, options)
    return _estimate(log, weights * log.reward, np.ones_like(weights), options)


def self_normalised(log: LoggedChoices, options: OffPolicyOptions) -> PolicyValue:
    """Never outside the range of rewards."""
    weights = _clipped(log, options)
    return _estimate(log, weights * log.reward, weights, options)


def doubly_robust(
    log: LoggedChoices,
    predicted: NDArray[np.float64],
    expected: NDArray[np.float64],
    options: OffPolicyOptions,
) -> PolicyValue:
    """Unbiased if propensities or the reward model are right; less spread if both are.

    Args:
        log: the choices.
        predicted: (N,) the model's reward of the logged choice, fitted on other choices; see
            :func:`.reward_model.cross_fitted_means`.
        expected: (N,) its mean reward over the target's choices in the same situation.
        options: clipping and confidence.
    """
    weights = _clipped(log, options)
    corrected = expected + weights * (log.reward - predicted)
    return _estimate(log, corrected, np.ones_like(weights), options)


def _clipped(log: LoggedChoices, options: OffPolicyOptions) -> NDArray[np.float64]:
    return np.minimum(log.weights, math.inf if options.clip is None else options.clip)


def _estimate(
    log: LoggedChoices,
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    options: OffPolicyOptions,
) -> PolicyValue:
    weights = _clipped(log, options)
    sums = [_by_unit(log, part) for part in (numerator, denominator, weights * log.reward)]
    above_U, below_U, rewards_U = sums
    total = float(below_U.sum())
    value = float(above_U.sum()) / total if total > 0 else math.nan
    units = len(above_U)
    spread = float(((above_U - value * below_U) ** 2).sum()) * units / max(units - 1, 1)
    error = math.sqrt(spread) / total if total > 0 else math.nan
    sample = _effective(weights)
    share_rewarded = float((log.reward > 0).mean()) if len(log.reward) else 0.0
    # The first sees unequal weights of the rewards that came, the second that the target's own
    # choices are so rare in the log that their rewards may not have come at all.
    rewards = min(_effective(rewards_U), sample * share_rewarded)
    low, high = _interval(value, error, rewards, options.confidence)
    clipped = 1 - float(weights.sum() / log.weights.sum()) if total > 0 else 0.0
    doubts = tuple(_doubts(log, rewards, options))
    return PolicyValue(value, error, low, high, sample, rewards, clipped, doubts)


def _by_unit(log: LoggedChoices, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(U,) sums over the choices of a unit."""
    if log.unit is None:
        return values
    _, codes = np.unique(log.unit, return_inverse=True)
    return np.bincount(codes, weights=values).astype(np.float64)


def _effective(values: NDArray[np.float64]) -> float:
    """How many equal values are worth as much as these."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / squares if squares > 0 else 0.0


def _interval(value: float, error: float, rewards: float, confidence: float) -> tuple[float, float]:
    if not rewards > 0 or not math.isfinite(value):
        return math.nan, math.nan
    width = float(stats.t.ppf((1 + confidence) / 2, max(rewards - 1, 1.0))) * error
    if value <= 0:  # a doubly robust estimate may be
        return value - width, value + width
    return value * math.exp(-width / value), value * math.exp(width / value)


def _doubts(log: LoggedChoices, rewards: float, options: OffPolicyOptions) -> list[str]:
    doubts = []
    beyond_U = _by_unit(log, log.weights - 1)
    excess = float(beyond_U.sum())
    chance = _SURPRISE * math.sqrt(float((beyond_U**2).sum()))
    if abs(excess) > max(chance, _NEGLIGIBLE * len(log.weights)):
        doubts.append(
            f"the weights have mean {log.weights.mean():.2f} and not 1: the new policy chooses "
            "what the log never or hardly ever shows, or the propensities are wrong"
        )
    if rewards < options.least_effective_rewards:
        doubts.append(
            f"only {rewards:.1f} rewards effectively count, {options.least_effective_rewards:g} "
            "are needed: log longer, explore more, or ask about a policy nearer to the logged one"
        )
    return doubts
