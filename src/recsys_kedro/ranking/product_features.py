"""The part of the pair features that is the product's alone, made once per snapshot.

P products, F features.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.ranking.product_state import ProductState
from recsys_kedro.ranking.scorers import Scorers
from recsys_kedro.ranking.season import season_features

LITTLE = 0.1  # decayed sales; below it a trend is noise


class ProductFeatures(NamedTuple):
    """(P, F) values and their F names."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


def product_features(scorers: Scorers, products: ProductState) -> ProductFeatures:
    """Popularity at each half-life, its trend, repeat rate, age, price, counts and season."""
    popularity = scorers.popularity
    parts: dict[str, NDArray[np.floating]] = {}
    for column in range(popularity.shape[1]):
        parts[f"popularity_{column}"] = np.log1p(popularity[:, column])
    for column in range(1, popularity.shape[1]):
        faster, slower = popularity[:, column - 1], popularity[:, column]
        parts[f"trend_{column}"] = np.log((faster + LITTLE) / (slower + LITTLE))
    parts["repeat_rate"] = scorers.repeat_rate
    parts["users"] = np.log1p(scorers.users)
    parts["product_age"] = np.log1p(products.age_days)
    parts["log_price"] = products.log_price
    for column in range(products.numbers.shape[1]):
        parts[f"number_{column}"] = products.numbers[:, column]
    if scorers.season is not None:
        parts |= season_features(scorers.season, products.category)
    values = np.stack([np.asarray(part, np.float32) for part in parts.values()], axis=1)
    return ProductFeatures(tuple(parts), values)
