"""Experiments as they are declared: one YAML file of layers, experiments and variants."""

from itertools import combinations
from pathlib import Path
from typing import Self

import yaml
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from recsys_kedro.options import Options


class RankingOptions(Options):
    """What a variant may change in the ranking; empty: as without the experiment."""

    diversity: float | None = Field(None, ge=0, le=1, description="0: by relevance alone")
    exploration: float | None = Field(None, ge=0, le=0.5, description="share of explored positions")


class Variant(Options):
    """One arm of an experiment."""

    weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="relative to the experiment's other variants"
    )
    model: str | None = Field(
        None, min_length=1, description="alias in the registry; empty: as without the experiment"
    )
    ranking: RankingOptions = RankingOptions()

    @property
    def changes(self) -> set[str]:
        """The keys that this variant sets."""
        keys = {f"ranking.{key}" for key in self.ranking.model_dump(exclude_none=True)}
        return keys | ({"model"} if self.model else set())


class Experiment(Options):
    """One A/B test. Times are aware; ``start`` belongs to it, ``end`` does not."""

    buckets: tuple[float, float] = Field(
        (0.0, 1.0), description="part of the layer's units that takes part: from, to (exclusive)"
    )
    start: AwareDatetime
    end: AwareDatetime
    control: str = Field(description="the variant that the others are compared with")
    variants: dict[str, Variant] = Field(min_length=2)
    overrides: dict[str, str] = Field(
        {}, description="unit -> variant, for testing: at any time, whatever its buckets"
    )
    salt: str | None = Field(
        None, min_length=1, description="empty: the name; another one draws the split anew"
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        low, high = self.buckets
        if not 0 <= low < high <= 1:
            msg = f"buckets: [{low}, {high}] is no range within [0, 1]"
            raise ValueError(msg)
        if self.start >= self.end:
            msg = f"end: {self.end} is not after start, {self.start}"
            raise ValueError(msg)
        named = {"control": self.control}
        named |= {f"overrides.{unit}": variant for unit, variant in self.overrides.items()}
        for key, variant in named.items():
            if variant not in self.variants:
                msg = f"{key}: there is no variant '{variant}', only {', '.join(self.variants)}"
                raise ValueError(msg)
        return self


class Layer(Options):
    """Experiments that exclude each other: a unit is in one of them at a time, or in none."""

    experiments: dict[str, Experiment]
    salt: str | None = Field(None, min_length=1, description="empty: the name")

    @model_validator(mode="after")
    def _units_are_in_one_experiment(self) -> Self:
        for (name, one), (other_name, other) in combinations(self.experiments.items(), 2):
            at_once = one.start < other.end and other.start < one.end
            if at_once and _overlap(one.buckets, other.buckets):
                msg = (
                    f"experiments.{other_name}.buckets: {list(other.buckets)} overlap with those "
                    f"of '{name}', {list(one.buckets)}, at the same time"
                )
                raise ValueError(msg)
            twice = sorted(one.overrides.keys() & other.overrides.keys())
            if twice:
                msg = f"experiments.{other_name}.overrides: '{name}' has {twice} already"
                raise ValueError(msg)
        return self

    @property
    def changes(self) -> set[str]:
        """The keys that its variants set."""
        variants = [v for e in self.experiments.values() for v in e.variants.values()]
        return {key for variant in variants for key in variant.changes}


class Holdout(Options):
    """Units that are in no experiment of any layer, to see what all of them earn together."""

    share: float = Field(0.0, ge=0, lt=1)
    salt: str = Field("holdout", min_length=1)


class Experiments(Options):
    """All experiments of a shop."""

    holdout: Holdout = Holdout()
    layers: dict[str, Layer] = Field({})

    @model_validator(mode="after")
    def _layers_do_not_meet(self) -> Self:
        for (name, one), (other_name, other) in combinations(self.layers.items(), 2):
            same_name = sorted(one.experiments.keys() & other.experiments.keys())
            if same_name:
                msg = f"layers.{other_name}.experiments: {same_name} are in '{name}' too"
                raise ValueError(msg)
            both = sorted(one.changes & other.changes)
            if both:
                msg = (
                    f"layers.{other_name}: sets {both}, as does '{name}', so that a unit could "
                    "get two values; put these experiments into one layer"
                )
                raise ValueError(msg)
        return self

    @property
    def named(self) -> dict[str, Experiment]:
        """The experiments of all layers by name."""
        return {n: e for layer in self.layers.values() for n, e in layer.experiments.items()}


def read_experiments(path: Path) -> Experiments:
    """Read and check the declarations.

    Raises:
        ValueError: with the file and, for each fault, the experiment and the key.
    """
    text = path.read_text(encoding="utf-8")
    faults = _keys_that_stand_twice(yaml.compose(text, Loader=yaml.SafeLoader))
    if not faults:
        try:
            return Experiments.model_validate(yaml.safe_load(text) or {})
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    msg = f"{path}: " + "; ".join(faults)
    raise ValueError(msg)


def _keys_that_stand_twice(node: yaml.Node) -> list[str]:
    """YAML lets the second of two equal keys win, which would lose an experiment silently."""
    if isinstance(node, yaml.SequenceNode):
        return [fault for entry in node.value for fault in _keys_that_stand_twice(entry)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    line = node.start_mark.line + 1
    twice = [
        f"'{key}' stands twice in the block from line {line}"
        for key in dict.fromkeys(keys)
        if keys.count(key) > 1
    ]
    return twice + [fault for _, value in node.value for fault in _keys_that_stand_twice(value)]


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
