"""What the models that learn from events alone share: their products, options and files."""

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.models.base import CatalogueScorer, TrainingData
from recsys_kedro.models.interactions import (
    Decay,
    EventWeights,
    history_matrix,
    interaction_matrix,
    product_counts,
)
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.vocabulary import Vocabulary

POPULAR_HALF_LIFE_DAYS = 14.0


@dataclass(eq=False)
class Baseline(CatalogueScorer):
    """Knows the products that had any event but a return before the cut.

    Attributes:
        options: the parameters that it was fitted with.
        vocabulary: the P products.
        popularity: (P,) the decayed count of target events, half-life 14 days.
        target_event_types: what counts as taken.
    """

    options: Any
    vocabulary: Vocabulary
    popularity: NDArray[np.float32]
    target_event_types: tuple[str, ...]

    @classmethod
    def shared_parts(cls, data: TrainingData, options: Options) -> dict[str, Any]:
        """The attributes that every baseline has.

        Raises:
            ValueError: if there is no target event to learn from.
        """
        targets = data.targets()
        if targets.is_empty():
            msg = (
                f"{cls.name}: events has {data.events.height:,} rows before {data.cut:%Y-%m-%d} "
                f"and no {' or '.join(data.target_event_types)} among them. Set a later "
                "split.test_start or other split.target_event_types."
            )
            raise ValueError(msg)
        events = data.events.filter(data.events[c.EVENT_TYPE] != c.RETURN)
        vocabulary = Vocabulary.fit(events[c.PRODUCT_ID])
        decay = Decay(data.cut, POPULAR_HALF_LIFE_DAYS)
        return {
            "options": options,
            "vocabulary": vocabulary,
            "popularity": product_counts(targets, vocabulary, decay),
            "target_event_types": data.target_event_types,
        }

    def save(self, folder: Path) -> None:
        """See :meth:`Recommender.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.vocabulary.save(folder / "vocabulary.parquet")
        np.save(folder / "popularity.npy", self.popularity, allow_pickle=False)
        about = {
            "model": self.name,
            "options": self.options.model_dump(mode="json"),
            "target_event_types": self.target_event_types,
        }
        (folder / "model.json").write_text(json.dumps(about, indent=2), encoding="utf-8")

    @classmethod
    def load_parts(cls, folder: Path) -> dict[str, Any]:
        """The attributes that :meth:`Baseline.save` wrote.

        Raises:
            ValueError: if the folder holds another model.
        """
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if about["model"] != cls.name:
            msg = f"{folder} holds the model '{about['model']}', not '{cls.name}'"
            raise ValueError(msg)
        return {
            "options": cls.options_type.model_validate(about["options"]),
            "vocabulary": Vocabulary.load(folder / "vocabulary.parquet"),
            "popularity": np.load(folder / "popularity.npy", allow_pickle=False),
            "target_event_types": tuple(about["target_event_types"]),
        }

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See :meth:`Recommender.load`."""
        return cls(**cls.load_parts(folder))


class HistoryOptions(Options):
    """How events become the matrix that is learned from and the history that is asked with."""

    event_weights: EventWeights = EventWeights()
    learning_half_life_days: float | None = Field(
        None, gt=0, description="of the events learned from, days; empty: all weigh the same"
    )
    half_life_days: float | None = Field(
        30, gt=0, description="of the events in a user's history, days; empty: all weigh the same"
    )
    own_weight: float = Field(
        1, ge=0, description="of the user's own products, which serves repeats; 0: none"
    )
    own_half_life_days: float | None = Field(
        180, gt=0, description="of that own part, days; empty: all weigh the same"
    )


class HistoryModel(Baseline):
    """Scores ``from_history(recent history) + own_weight * own history``."""

    @abstractmethod
    def from_history(self, history: sparse.csr_matrix) -> NDArray[np.float32]:
        """(Q, P) scores of the products that go with ``history`` (Q, P)."""

    def score_catalogue(self, queries: Queries) -> NDArray[np.float32]:
        """See :meth:`CatalogueScorer.score_catalogue`."""
        scores = self.from_history(self._recent(queries))
        if self.options.own_weight > 0:
            own = self._history(queries, self.options.own_half_life_days).tocoo()
            scores[own.row, own.col] += np.float32(self.options.own_weight) * own.data
        return scores

    def _recent(self, queries: Queries) -> sparse.csr_matrix:
        return self._history(queries, self.options.half_life_days)

    def _history(self, queries: Queries, half_life_days: float | None) -> sparse.csr_matrix:
        weights = self.options.event_weights.by_type(self.target_event_types)
        return history_matrix(queries, self.vocabulary, weights, half_life_days)


def learning_matrix(
    data: TrainingData, products: Vocabulary, options: HistoryOptions
) -> sparse.csr_matrix:
    """(U, P) the interactions before the cut, weighted and decayed as ``options`` say."""
    half_life = options.learning_half_life_days
    return interaction_matrix(
        data.events,
        Vocabulary.fit(data.events[c.USER_ID]),
        products,
        options.event_weights.by_type(data.target_event_types),
        None if half_life is None else Decay(data.cut, half_life),
    )
