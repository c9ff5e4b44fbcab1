"""Exploration: some slots show what the ranking would not, with known probabilities.

It comes last, so that each logged propensity is that of what was shown; estimates of other
policies divide by it. N candidates, k slots.
"""

import hashlib
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.options import Options
from recsys_kedro.ranking.diversity import standardised

Floats = NDArray[np.floating]


class ExplorationOptions(Options):
    """How much is explored, and what a drawn slot prefers."""

    kind: Literal["epsilon_greedy", "softmax"] = Field(
        "epsilon_greedy",
        description="a product's chance to be drawn goes by its weight, or by its weight times "
        "exp(standardised score)",
    )
    share: float = Field(
        0.0, ge=0, le=0.5, description="probability that a slot is drawn; 0: the list as ranked"
    )


class Explored(NamedTuple):
    """What is shown, and how probable that was.

    Attributes:
        position: (k,) int64, the candidate in each slot; no candidate twice.
        propensity: (k,) float64 in (0, 1], the exact probability of that candidate in that slot,
            given those in the slots above.
        explored: (k,) bool, whether it is another than the best that was left.
    """

    position: NDArray[np.int64]
    propensity: NDArray[np.float64]
    explored: NDArray[np.bool_]


def explore(
    score_N: Floats,
    draw_weight_N: Floats,
    k: int,
    options: ExplorationOptions,
    rng: np.random.Generator,
) -> Explored:
    """Fill min(k, N) slots from the top.

    With probability ``1 - share`` a slot takes the best that is left, in the given order; with
    probability ``share`` it is drawn from all that is left, the best too, each with a chance in
    proportion to its weight (and ``exp(z)``, z the score standardised over the N candidates,
    for ``softmax``). So the best that is left has the propensity
    ``(1 - share) + share * chance``, every other ``share * chance``. Where no weight is left,
    the best is taken for certain. With the same ``rng`` a shorter list is the head of a longer.

    Args:
        score_N: read by ``softmax`` only.
        draw_weight_N: finite, 0 or more, on any scale; 0: never drawn.
        k: how many slots.
        options: how much and how.
        rng: see :func:`rng_of`.
    """
    count = min(k, len(score_N))
    position, propensity = np.arange(count), np.ones(count)
    explored = np.zeros(count, np.bool_)
    if options.share == 0:
        return Explored(position, propensity, explored)
    chance_N = np.array(draw_weight_N, np.float64)
    if options.kind == "softmax":
        chance_N *= np.exp(standardised(score_N))
    placed: set[int] = set()
    best = 0
    for slot, (coin, place) in enumerate(rng.random((count, 2)).tolist()):
        while best in placed:
            best += 1
        pick, up_to_N = best, chance_N.cumsum()
        if up_to_N[-1] > 0:
            if coin < options.share:
                pick = int(up_to_N.searchsorted(place * up_to_N[-1], side="right"))
            chance = chance_N[pick] / up_to_N[-1]
            drawn, missed = options.share * chance, options.share * (1 - chance)
            propensity[slot] = 1 - missed if pick == best else drawn
        position[slot], explored[slot] = pick, pick != best
        placed.add(pick)
        chance_N[pick] = 0.0
    return Explored(position, propensity, explored)


def rng_of(recommendation_id: str) -> np.random.Generator:
    """Random numbers that belong to one answer: the same for its id on every machine."""
    digest = hashlib.blake2b(recommendation_id.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
