"""The products of a server, by row: what can be shown, what it is called, what is popular."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.ranking.cold_start import popular_spread
from recsys_kedro.vocabulary import Vocabulary


@dataclass(frozen=True)
class Catalogue:
    """P products, in the order of their ids.

    Attributes:
        vocabulary: the product ids; a product's index is its row.
        ids: (P,) the same as a list.
        names, categories, prices: (P,) None where unknown.
        price: (P,) float64, NaN where unknown.
        in_stock: (P,) whether it can be sold.
        popularity: (P,) 0 where it cannot be sold.
        popular: (M,) rows of what can be sold, popular products of many categories first.
    """

    vocabulary: Vocabulary
    ids: list[str]
    names: list[str | None]
    categories: list[str | None]
    prices: list[float | None]
    price: NDArray[np.float64]
    in_stock: NDArray[np.bool_]
    popularity: NDArray[np.float32]
    popular: NDArray[np.int64]

    @classmethod
    def of(cls, products: pl.DataFrame) -> Self:
        """From ``product_id, name, category, price, score``; no score: it cannot be sold."""
        products = products.sort(c.PRODUCT_ID)
        vocabulary = Vocabulary(products[c.PRODUCT_ID])
        sold = products.select(c.PRODUCT_ID, c.CATEGORY, c.SCORE).drop_nulls(c.SCORE)
        return cls(
            vocabulary,
            vocabulary.ids.to_list(),
            products[c.NAME].to_list(),
            products[c.CATEGORY].to_list(),
            products[c.PRICE].to_list(),
            products[c.PRICE].fill_null(np.nan).to_numpy(),
            products[c.SCORE].is_not_null().to_numpy(),
            products[c.SCORE].fill_null(0.0).cast(pl.Float32).to_numpy(),
            vocabulary.encode(popular_spread(sold, sold.height)[c.PRODUCT_ID]),
        )

    def __len__(self) -> int:
        return len(self.vocabulary)

    def rows_of(self, ids: list[str]) -> NDArray[np.int64]:
        """The rows of those ids that are products."""
        rows = self.vocabulary.encode(pl.Series(ids, dtype=pl.String))
        return rows[rows >= 0]
