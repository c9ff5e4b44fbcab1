"""What the user took before, the latest and most often taken first."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.baseline import Baseline
from recsys_kedro.models.interactions import history_matrix
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries


class OwnHistoryOptions(Options):
    """How fast a user's own events are forgotten."""

    half_life_days: float | None = Field(
        180, gt=0, description="age at which an event counts half, days; empty: all count 1"
    )


class OwnHistory(Baseline):
    """Scores a product by ``sum(0.5 ** (age / half_life))`` over the user's target events."""

    name = "own_history"
    options_type = OwnHistoryOptions

    @classmethod
    def fit(cls, data: TrainingData, options: OwnHistoryOptions, seed: int) -> Self:
        """See :meth:`Recommender.fit`; nothing is random."""
        return cls(**cls.shared_parts(data, options))

    def score_catalogue(self, queries: Queries) -> NDArray[np.float32]:
        """See :meth:`CatalogueScorer.score_catalogue`."""
        weights = dict.fromkeys(self.target_event_types, 1.0)
        half_life = self.options.half_life_days
        scores: NDArray[np.float32] = history_matrix(
            queries, self.vocabulary, weights, half_life
        ).toarray()
        return scores
