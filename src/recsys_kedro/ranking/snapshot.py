"""All that ranking knows of a shop as of one time, short of learned weights."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from recsys_kedro.ranking.product_features import ProductFeatures, product_features
from recsys_kedro.ranking.product_state import ProductState
from recsys_kedro.ranking.scorers import Scorers
from recsys_kedro.vocabulary import Vocabulary


@dataclass(frozen=True)
class Snapshot:
    """Scorers and products as of one time, in the order of one vocabulary.

    Attributes:
        scorers: neighbourhoods and popularity.
        products: what is known of the products.
        vocabulary: the P products.
        categories: all categories of the catalogue.
    """

    scorers: Scorers
    products: ProductState
    vocabulary: Vocabulary
    categories: Vocabulary

    @cached_property
    def product_features(self) -> ProductFeatures:
        """What every pair feature of the product alone is; made once."""
        return product_features(self.scorers, self.products)

    def save(self, folder: Path) -> None:
        """Write it into ``folder``."""
        self.scorers.save(folder / "scorers.safetensors")
        self.products.save(folder / "products.safetensors")
        self.vocabulary.save(folder / "vocabulary.parquet")
        self.categories.save(folder / "categories.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(
            Scorers.load(folder / "scorers.safetensors"),
            ProductState.load(folder / "products.safetensors"),
            Vocabulary.load(folder / "vocabulary.parquet"),
            Vocabulary.load(folder / "categories.parquet"),
        )
