"""Noise that is looked up, not drawn in turn: common random numbers for all policies.

The number that belongs to a key is the same whatever else is asked, and in whatever order. So
two policies meet the same shoppers in the same moods, and what differs is their doing. A key is
(seed, stream, session, detail), mixed by SplitMix64 (Steele, Lea and Flood 2014, "Fast
splittable pseudorandom number generators").
"""

from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

_STEP = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


class Stream(IntEnum):
    """What a number is for; streams are independent of each other."""

    LIKING = 0
    OUTSIDE = auto()
    DEPTH = auto()
    CLICK = auto()
    CHECKOUT = auto()
    PIECES = auto()
    ORDER = auto()
    PAUSE = auto()
    CHECKOUT_PAUSE = auto()
    SEARCH = auto()
    LOST_ID = auto()
    RETURN = auto()
    RETURN_WAIT = auto()


class Noise:
    """All the noise of one seed."""

    def __init__(self, seed: int) -> None:
        """Nothing is drawn yet."""
        self._keys = np.random.SeedSequence(seed).generate_state(len(Stream), np.uint64)

    def uniform(
        self,
        stream: Stream,
        session: NDArray[np.integer],
        detail: NDArray[np.integer] | int = 0,
    ) -> NDArray[np.float64]:
        """A number in (0, 1) for each pair of ``session`` and ``detail``, broadcast."""
        outer = _mixed(session.astype(np.uint64) * np.uint64(_STEP) + self._keys[stream])
        mixed = _mixed(outer + np.asarray(detail).astype(np.uint64) * np.uint64(_STEP))
        return ((mixed >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52

    def gumbel(
        self,
        stream: Stream,
        session: NDArray[np.integer],
        detail: NDArray[np.integer] | int = 0,
    ) -> NDArray[np.float32]:
        """As :meth:`uniform`, of the standard Gumbel distribution."""
        drawn = self.uniform(stream, session, detail)
        return (-np.log(-np.log(drawn))).astype(np.float32)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in _ROUNDS:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(31))
