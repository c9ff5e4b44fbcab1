"""Every model by its name, and the settings of each that are tried. A new model is one line."""

import json
from pathlib import Path
from types import GenericAlias
from typing import Any

from pydantic import Field, create_model

from recsys_kedro.models.base import Recommender
from recsys_kedro.models.ease import EASE
from recsys_kedro.models.hybrid import Hybrid
from recsys_kedro.models.ials import IALS
from recsys_kedro.models.item_knn import ItemKNN
from recsys_kedro.models.linear import Linear
from recsys_kedro.models.own_history import OwnHistory
from recsys_kedro.models.popularity import Popularity, RecentPopularity
from recsys_kedro.options import Options

MODELS: dict[str, type[Recommender]] = {
    model.name: model
    for model in (
        Popularity,
        RecentPopularity,
        OwnHistory,
        ItemKNN,
        EASE,
        Linear,
        IALS,
        Hybrid,
    )
}


class AnyModel:
    """Reads a model of any kind from the folder that its ``save`` wrote."""

    @staticmethod
    def load(folder: Path) -> Recommender:
        """The model in ``folder``; ``model.json`` there says which one it is."""
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return MODELS[about["model"]].load(folder)


_settings: dict[str, Any] = {
    name: (
        GenericAlias(list, model.options_type),
        Field(min_length=1, description="the settings that are tried on the validation window"),
    )
    for name, model in MODELS.items()
}
ModelsOptions = create_model(
    "ModelsOptions",
    __base__=Options,
    __doc__="Per model the list of its settings that are tried on the validation window.",
    **_settings,
)
