"""The same list for everybody: what sells, ever or lately."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import Baseline
from recsys_kedro.models.interactions import Decay, product_counts
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries


class PopularityOptions(Options):
    """Nothing to choose."""


class RecentPopularityOptions(Options):
    """How fast a sale is forgotten."""

    half_life_days: float = Field(14, gt=0, description="age at which an event counts half, days")


@dataclass(eq=False)
class Popularity(Baseline):
    """Scores each product by the number of its target events before the cut.

    Attributes:
        counts: (P,) the score of each product for everybody.
    """

    name = "popularity"
    options_type: ClassVar[type[Options]] = PopularityOptions

    counts: NDArray[np.float32]

    @classmethod
    def fit(cls, data: TrainingData, options: Options, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random."""
        parts = cls.shared_parts(data, options)
        decay = cls.decay(data, options)
        return cls(**parts, counts=product_counts(data.targets(), parts["vocabulary"], decay))

    @staticmethod
    def decay(data: TrainingData, options: Options) -> Decay | None:
        """How fast events are forgotten: never."""
        return None

    def score_catalogue(self, queries: Queries) -> NDArray[np.float32]:
        """See :meth:`CatalogueScorer.score_catalogue`."""
        return np.tile(self.counts, (len(queries), 1))

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        super().save(folder)
        np.save(folder / "counts.npy", self.counts, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        counts = np.load(folder / "counts.npy", allow_pickle=False)
        return cls(**cls.load_parts(folder), counts=counts)


class RecentPopularity(Popularity):
    """Scores each product by the exponentially decayed count of its target events.

    Ages are counted back from the cut. For a query after the cut all scores would shrink by
    one factor, so its list is the same.
    """

    name = "recent_popularity"
    options_type = RecentPopularityOptions

    @staticmethod
    def decay(data: TrainingData, options: Options) -> Decay | None:
        """How fast events are forgotten."""
        return Decay(data.cut, RecentPopularityOptions.model_validate(options).half_life_days)
