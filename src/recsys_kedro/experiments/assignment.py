"""Which variants a unit gets: salted hashes, so that no table of assignments is kept.

Three draws of a unit, each with a salt of its own and so independent of the others:

- the holdout's, over all layers;
- the layer's, whose bucket says in which experiment of the layer the unit is. Ranges are
  declared, so a new experiment beside the others moves nobody;
- the experiment's, which chooses the variant by weighted rendezvous hashing (Thaler and
  Ravishankar, 1998; weights by the logarithmic method of Schindelhauer and Schomaker, 2005):
  each variant draws an exponential time with its weight as the rate, the first one wins.
  Where one weight changes relative to the others, or a variant comes or goes, units move
  only to or from that variant, which is the least that can move. Where several change at
  once a few more may.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime

from recsys_kedro.experiments.declarations import (
    Experiment,
    Experiments,
    Layer,
    RankingOptions,
    Variant,
)


@dataclass(frozen=True)
class Assignment:
    """The variant of one experiment that a unit gets; ``forced`` by an override.

    Forced units did not come by chance: leave them out of the analysis.
    """

    layer: str
    experiment: str
    variant: str
    settings: Variant
    forced: bool = False


@dataclass(frozen=True)
class Assignments:
    """All that holds for a unit at a time: at most one variant per layer."""

    active: tuple[Assignment, ...]
    holdout: bool

    @property
    def model(self) -> str | None:
        """The alias of the model to ask; None: as without experiments."""
        return next((a.settings.model for a in self.active if a.settings.model), None)

    @property
    def ranking(self) -> RankingOptions:
        """The ranking options that the variants set; layers never set the same one."""
        chosen = [a.settings.ranking.model_dump(exclude_none=True) for a in self.active]
        return RankingOptions(**{key: value for some in chosen for key, value in some.items()})


def assign(experiments: Experiments, unit: str, time: datetime) -> Assignments:
    """The variants of a unit at an aware time; the same at any time that an experiment runs."""
    holdout = bucket(experiments.holdout.salt, unit) < experiments.holdout.share
    found = (
        _forced(name, layer, unit) or (None if holdout else _drawn(name, layer, unit, time))
        for name, layer in experiments.layers.items()
    )
    return Assignments(tuple(a for a in found if a is not None), holdout)


def bucket(salt: str, unit: str) -> float:
    """Where a unit falls in [0, 1): uniform over units, independent between salts."""
    text = f"{salt}\0{unit}".encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return (number >> 11) / 2**53  # all 64 bits could round up to 1.0


def choose_variant(name: str, experiment: Experiment, unit: str) -> str:
    """The variant of a unit that takes part; each with its share of the weights."""
    salt = experiment.salt or name

    def time_drawn(variant: str) -> float:
        drawn = bucket(f"{salt}\0{variant}", unit)
        return -math.log1p(-drawn) / experiment.variants[variant].weight

    return min(experiment.variants, key=time_drawn)


def _forced(layer_name: str, layer: Layer, unit: str) -> Assignment | None:
    for name, experiment in layer.experiments.items():
        variant = experiment.overrides.get(unit)
        if variant is not None:
            settings = experiment.variants[variant]
            return Assignment(layer_name, name, variant, settings, forced=True)
    return None


def _drawn(layer_name: str, layer: Layer, unit: str, time: datetime) -> Assignment | None:
    place = bucket(f"layer\0{layer.salt or layer_name}", unit)
    for name, experiment in layer.experiments.items():
        low, high = experiment.buckets
        if low <= place < high and experiment.start <= time < experiment.end:
            variant = choose_variant(name, experiment, unit)
            return Assignment(layer_name, name, variant, experiment.variants[variant])
    return None
