"""What is known of the products as of a snapshot, as arrays in the order of a vocabulary."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.mapped_arrays import mapped_arrays
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]

LOGS = (f.VIEWS_1D, f.VIEWS_7D, f.VIEWS_30D, f.CONVERSION_RATE, f.TRENDING_SCORE)
CONVERSION = LOGS.index(f.CONVERSION_RATE)
UNKNOWN_AGE_DAYS = 1e6


@dataclass(frozen=True)
class ProductState:
    """P products as of a snapshot.

    Attributes:
        known: (P,) bool; in the catalogue, or sold, before the snapshot.
        age_days: (P,) days since the product came into the catalogue.
        log_price: (P,) natural log of the price, NaN where unknown.
        category: (P,) index from 0; products without a category share one.
        numbers: (P, N) ln(1 + x) of the counts and rates in :data:`LOGS`.
    """

    known: NDArray[np.bool_]
    age_days: Floats
    log_price: Floats
    category: NDArray[np.int64]
    numbers: Floats

    @property
    def conversion(self) -> Floats:
        """(P,) ln(1 + purchases per view) over 30 days."""
        return self.numbers[:, CONVERSION]

    @cached_property
    def categories(self) -> int:
        """How many categories there are."""
        return int(self.category.max(initial=-1)) + 1

    @cached_property
    def has_price(self) -> Floats:
        """(P,) 1 where the price is known."""
        return np.isfinite(self.log_price).astype(np.float32)

    @cached_property
    def log_price_or_0(self) -> Floats:
        """(P,) natural log of the price, 0 where unknown."""
        return np.nan_to_num(self.log_price)

    def category_share(self, weights: sparse.csr_matrix) -> Floats:
        """(Q, C) the share of each query's ``weights`` (Q, P) that lies in each category."""
        queries, categories = weights.shape[0], self.categories
        query = np.repeat(np.arange(queries), np.diff(weights.indptr))
        cell = query * categories + self.category[weights.indices]
        by_category = np.bincount(cell, weights.data, queries * categories)
        by_category = by_category.reshape(queries, categories).astype(np.float32)
        total = np.maximum(by_category.sum(axis=1, keepdims=True), 1e-9)
        share: Floats = by_category / total
        return share

    def save(self, path: Path) -> None:
        """Write it as one safetensors file."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(**mapped_arrays(path))


def product_state(
    features: pl.DataFrame, vocabulary: Vocabulary, categories: Vocabulary
) -> ProductState:
    """Put the product features as of one snapshot into the order of the vocabulary.

    Args:
        features: one row per product that is known as of the snapshot.
        vocabulary: the P products.
        categories: all categories; others and empty ones share the index after the last.
    """
    row = np.full(len(vocabulary), -1)
    index = vocabulary.encode(features[c.PRODUCT_ID])
    row[index[index >= 0]] = np.flatnonzero(index >= 0)
    known = row >= 0
    encoded = categories.encode(features[c.CATEGORY])
    encoded = np.where(encoded < 0, len(categories), encoded)
    numbers = np.log1p(features.select(LOGS).fill_null(0).to_numpy())

    def ordered(values: NDArray[np.float64], missing: float) -> Floats:
        result = np.full((len(vocabulary), *values.shape[1:]), missing, np.float32)
        result[known] = values[row[known]]
        return result

    return ProductState(
        known=known,
        age_days=ordered(
            features[f.PRODUCT_AGE_DAYS].cast(pl.Float64).fill_null(UNKNOWN_AGE_DAYS).to_numpy(),
            UNKNOWN_AGE_DAYS,
        ),
        log_price=ordered(np.log(_positive(features[c.PRICE])), np.nan),
        category=ordered(encoded.astype(np.float64), len(categories)).astype(np.int64),
        numbers=ordered(numbers, 0.0),
    )


def _positive(prices: pl.Series) -> NDArray[np.float64]:
    values = prices.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(values > 0, values, np.nan)
