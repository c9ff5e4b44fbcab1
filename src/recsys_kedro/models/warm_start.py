"""Weights of earlier fits: kept by the time that their data ends, taken up by later fits.

A fit as of a cut begins with the latest weights whose data ends before the cut, never with
others, so an evaluation stays honest; and a fit that is made again begins with the same ones.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from recsys_kedro.features.encoding import FIRST_KNOWN_INDEX
from recsys_kedro.models.hybrid import Hybrid
from recsys_kedro.vocabulary import Vocabulary

NAME_OF_TIME = "%Y%m%dT%H%M%S%f"
OWN = ("mean", "scale")  # what each fit works out from its own data
Rows: TypeAlias = dict[str, tuple[Vocabulary, int]]


def keep_weights(model: Hybrid, folder: Path, cut: datetime) -> None:
    """Write the network's weights as ``<cut>.safetensors``, with what their rows stand for."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: rows.ids.to_list() for name, (rows, _) in _rows_of(model).items()}
    about = {"as_of": cut.astimezone(UTC).isoformat(), "rows": json.dumps(names)}
    weights = {name: value.cpu() for name, value in model.network.state_dict().items()}
    path = folder / f"{cut.astimezone(UTC):{NAME_OF_TIME}}.safetensors"
    save_file(weights, path.with_suffix(".tmp"), metadata=about)
    path.with_suffix(".tmp").replace(path)


def take_up_weights(model: Hybrid, folder: Path, cut: datetime) -> datetime | None:
    """Put the latest weights from before ``cut`` into the network.

    Rows are found by name: a product or category that has come since keeps its fresh weights.

    Returns:
        Until when the data of those weights goes; None where there are none.

    Raises:
        ValueError: the file is of data that does not end before the cut, whatever its name
            says, or of another network.
    """
    own = f"{cut.astimezone(UTC):{NAME_OF_TIME}}"
    earlier = sorted(path for path in folder.glob("*.safetensors") if path.stem < own)
    if not earlier:
        return None
    path = earlier[-1]
    with safe_open(path, "pt") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - is no mapping
    as_of = datetime.fromisoformat(about["as_of"])
    if as_of >= cut:
        msg = (
            f"{path}: these weights have seen data up to {as_of:%Y-%m-%d %H:%M}, and the fit is as "
            f"of {cut:%Y-%m-%d %H:%M}: its figures would know the future. Delete the file."
        )
        raise ValueError(msg)
    model.network.load_state_dict(_grown(model, weights, json.loads(about["rows"]), path))
    return as_of


def _rows_of(model: Hybrid) -> Rows:
    """By weight: what its rows stand for, and how many rows come before those."""
    products, encoders = model.snapshot.vocabulary, model.encoders
    by_category = {
        "content.category.weight": encoders.products.category,
        "content.subcategory.weight": encoders.products.subcategory,
        "content.brand.weight": encoders.products.brand,
        "device.weight": encoders.devices,
    }
    return {
        "product.weight": (products, 0),
        "bias.weight": (products, 0),
        **{name: (kind.vocabulary, FIRST_KNOWN_INDEX) for name, kind in by_category.items()},
    }


def _grown(
    model: Hybrid, weights: dict[str, Tensor], names: dict[str, list[str]], path: Path
) -> dict[str, Tensor]:
    rows = _rows_of(model)
    result = {}
    for name, fresh in model.network.state_dict().items():
        there = weights.get(name)
        if there is None or there.shape[1:] != fresh.shape[1:]:
            raise ValueError(_other_network(path, name))
        if name in OWN:
            result[name] = fresh
        elif name in rows:
            result[name] = _by_name(fresh.clone(), there, *rows[name], names[name])
        elif there.shape == fresh.shape:
            result[name] = there
        else:
            raise ValueError(_other_network(path, name))
    return result


def _by_name(
    fresh: Tensor, there: Tensor, vocabulary: Vocabulary, first: int, names: list[str]
) -> Tensor:
    index = vocabulary.encode(pl.Series(names, dtype=pl.String))
    known = np.flatnonzero(index >= 0)
    fresh[:first] = there[:first]
    fresh[torch.from_numpy(index[known] + first)] = there[torch.from_numpy(known + first)]
    return fresh


def _other_network(path: Path, name: str) -> str:
    return (
        f"{path}: its '{name}' does not fit the network of these options. Name another "
        f"training.weights_folder for them, or delete the file."
    )
