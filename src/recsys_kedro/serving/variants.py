"""Which model answers a user, and with which ranking options: as A/B tests and seasons say.

A test that names a model decides; else the season that the request lies in does, if there is a
model for it. What a request asks for itself (diversity, exploration) stays: a shop that asks for
the same in every request leaves its tests nothing to change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow

from recsys_kedro.experiments.assignment import assign
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.seasons import SeasonsOptions, alias_of
from recsys_kedro.serving.model_slates import ModelSlates
from recsys_kedro.serving.registered_models import CHAMPION, version_with_alias
from recsys_kedro.serving.requests import RecommendationRequest

MODEL_FOLDER = "artifacts/model"


@dataclass(frozen=True)
class Arm:
    """A model that answers.

    Attributes:
        slates: what makes its lists.
        version: what the registry calls it.
        made_by: all that a list depends on beside its request and user, as JSON.
    """

    slates: ModelSlates
    version: str
    made_by: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.slates.ranker.model.name


@dataclass(frozen=True)
class Assigned:
    """A request with what the tests make of it.

    Attributes:
        request: with the ranking options of its variants where it has none of its own.
        arm: the model that answers.
        variants: by experiment.
        taking_part: those of the ``variants`` that came by chance, not by an override.
    """

    request: RecommendationRequest
    arm: Arm
    variants: Mapping[str, str] = field(default_factory=dict)
    taking_part: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Variants:
    """The tests and seasons of a server, and the models that they choose from.

    Attributes:
        champion: answers where neither says otherwise.
        others: by their alias in the registry.
        experiments: as declared.
        seasons: as declared; one without a model is the champion's.

    Raises:
        ValueError: if a variant names an alias that is not there.
    """

    champion: Arm
    others: Mapping[str, Arm] = field(default_factory=dict)
    experiments: Experiments = field(default_factory=Experiments)
    seasons: SeasonsOptions = field(default_factory=SeasonsOptions)

    def __post_init__(self) -> None:
        missing = aliases_of(self.experiments) - self.others.keys()
        if missing:
            msg = f"the A/B tests name models that are not loaded: {', '.join(sorted(missing))}"
            raise ValueError(msg)

    def of(self, request: RecommendationRequest, now: datetime) -> Assigned:
        """What holds for the user of a request at the time that it names, else ``now``."""
        time = request.context.time or now
        season = self.seasons.on(time)
        usual = self.champion if season is None else self._arm_of(alias_of(season))
        if not self.experiments.layers:
            return Assigned(request, usual)
        found = assign(self.experiments, request.user_id, time)
        options = found.ranking.model_dump(exclude_none=True)
        update = {name: value for name, value in options.items() if getattr(request, name) is None}
        return Assigned(
            request.model_copy(update=update) if update else request,
            usual if found.model is None else self._arm_of(found.model),
            {each.experiment: each.variant for each in found.active},
            {each.experiment: each.variant for each in found.active if not each.forced},
        )

    def _arm_of(self, alias: str) -> Arm:
        return self.others.get(alias, self.champion)


def aliases_of(experiments: Experiments) -> set[str]:
    """The aliases that the variants name, without the champion's."""
    named = {
        variant.model
        for experiment in experiments.named.values()
        for variant in experiment.variants.values()
    }
    return {alias for alias in named if alias not in (None, CHAMPION)}


def registered_folder(model: str, alias: str) -> tuple[Path, str]:
    """The folder of the model with an alias, on this machine, and its version.

    Raises:
        ValueError: if the registry has no such alias.
    """
    found = version_with_alias(model, alias)
    if found is None:
        msg = (
            f"{model} has no version with the alias '{alias}' in {mlflow.get_tracking_uri()}: "
            "give it to one, or correct `model` of the variant that names it"
        )
        raise ValueError(msg)
    # By version: the alias may move meanwhile.
    path = mlflow.artifacts.download_artifacts(f"models:/{model}/{found.version}/{MODEL_FOLDER}")
    return Path(path), str(found.version)
