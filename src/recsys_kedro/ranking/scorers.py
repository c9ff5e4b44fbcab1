"""Simple strong scorers as of a time: inputs of the hybrid, and sources of its candidates.

A :class:`Scorers` is fitted on events strictly before its ``as_of`` and answers queries
as of that time or later, so a score never contains the target of the row it is used in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import sparse

from recsys_kedro import columns as c
from recsys_kedro.mapped_arrays import mapped_arrays
from recsys_kedro.models.ials import Factorisation, FactorOptions
from recsys_kedro.models.interactions import (
    Decay,
    EventWeights,
    history_matrix,
    interaction_matrix,
    newest_steps,
    product_counts,
    step_history_matrix,
)
from recsys_kedro.models.item_knn import CosineOptions, cosine_neighbours
from recsys_kedro.models.linear import LinearWeightOptions, linear_weights
from recsys_kedro.models.sequence_encoder import SequenceEncoder, SequenceOptions
from recsys_kedro.models.sequence_training import fit_sequence_encoder
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.scores import DenseScores, FactorScores, Scores, SparseScores
from recsys_kedro.ranking.season import season_counts
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]

TAKEN: Final = "taken"
VISITED: Final = "visited"
MEMORIES: Final = ("short", "long")
SEED = 0  # a scorer as of a time is the same wherever it is fitted
FEW_QUERIES: Final = 4  # up to so many, only the scores that are needed are worked out
CSR_PARTS: Final = ("data", "indices", "indptr")
OWN: Final = "own"
NEIGHBOURS: Final = "neighbours"
LINEAR: Final = "linear"
IALS: Final = "ials"
SEQUENCE: Final = "sequence"
SEASON: Final = "season"


class ScorerFactorOptions(FactorOptions):
    """The factorisation that is a scorer; it learns from events of all types."""

    regularization: float = Field(10, gt=0, description="added to the diagonal of each solve")
    learning_half_life_days: float | None = Field(
        60, gt=0, description="of the events learned from, days; empty: all weigh the same"
    )
    users: int = Field(200_000, ge=1, description="learned from; of more a sample")


class ScorerOptions(Options):
    """What the scorers look at."""

    popularity_half_lives_days: tuple[float, ...] = Field(
        (3, 7, 14, 30, 90, 365), description="decayed counts of target events, days", min_length=2
    )
    history_half_lives_days: tuple[float, float] = Field(
        (30, 180), description="a short and a long memory of the user's own history, days"
    )
    neighbours: int = Field(200, ge=1, description="most similar products kept per product")
    linear: LinearWeightOptions | None = Field(
        LinearWeightOptions(), description="of the linear model; empty: there is none"
    )
    ials: ScorerFactorOptions | None = Field(
        ScorerFactorOptions(), description="of the factorisation; empty: there is none"
    )
    sequence: SequenceOptions | None = Field(
        None, description="of the sequence encoder; empty: there is none"
    )
    linear_decays: tuple[float, float] = Field(
        (0.6, 0.9), description="a short and a long memory of the linear model, per step back"
    )
    event_weights: EventWeights = EventWeights()
    season_days: int = Field(
        28,
        ge=0,
        description="what sold in so many days a year ago is in season; 0: no such feature",
    )


@dataclass(frozen=True)
class Scorers:
    """Fitted scorers over P products.

    Histories are read twice: what was ``taken`` (target events), and what was only
    ``visited`` (views, clicks, carts), each with a short and a long memory.

    Attributes:
        as_of: UTC; nothing at or after it was seen.
        popularity: (P, H) decayed counts of target events, one column per half-life.
        repeat_rate: (P,) share of its users who took the product in several sessions, smoothed.
        users: (P,) how many users took the product.
        season: (P, 2) see ``ranking.season``; None where ranking does not know it.
        neighbours: by behaviour, (P, P) sparse cosine similarity, the strongest per product.
        linear: (P, P) sparse weights of what was taken for what is taken next; None: there is no
            linear model.
        ials: the factorisation of who dealt with what; None: there is none.
        sequence: what is likely next by the order of what was taken; None: there is no encoder.
        half_lives_days: the short and the long memory.
        linear_decays: those of the linear model, per step back.
        weights: by behaviour, the weight of each event type.
    """

    as_of: datetime
    popularity: Floats
    repeat_rate: Floats
    users: Floats
    season: Floats | None
    neighbours: Mapping[str, sparse.csr_matrix]
    linear: sparse.csr_matrix | None
    ials: Factorisation | None
    sequence: SequenceEncoder | None
    half_lives_days: tuple[float, float]
    linear_decays: tuple[float, float]
    weights: Mapping[str, Mapping[str, float]]

    def catalogue_scores(self, queries: Queries, vocabulary: Vocabulary) -> dict[str, Scores]:
        """Scores by name, such as ``neighbours_taken_short``; the same names always."""
        scores: dict[str, Scores] = {}
        histories = []
        for behaviour, neighbours in self.neighbours.items():
            weights = self.weights[behaviour]
            # Both memories go through each product of matrices at once, one below the other.
            history = history_matrix(queries, vocabulary, weights, *self.half_lives_days)
            histories.append(history)
            families = {OWN: history, NEIGHBOURS: history @ neighbours}
            if self.linear is not None and behaviour == TAKEN:
                steps = step_history_matrix(queries, vocabulary, weights, *self.linear_decays)
                families[LINEAR] = steps @ self.linear
            for family, matrix in families.items():
                scores |= _by_memory(f"{family}_{behaviour}", matrix, len(queries))
        if self.ials is not None:
            scores |= _ials_scores(self.ials, sum(histories[1:], start=histories[0]))
        if self.sequence is not None:
            longest = self.sequence.pooling.options.longest
            past = newest_steps(queries, vocabulary, self.weights[TAKEN], longest)
            lifts = self.sequence.lifts(past, len(queries))
            scores[f"{SEQUENCE}_{TAKEN}"] = DenseScores(lifts)
        return scores

    def save(self, path: Path) -> None:
        """Write all of it as one safetensors file."""
        arrays: dict[str, NDArray[Any]] = {
            "popularity": self.popularity,
            "repeat_rate": self.repeat_rate,
            "users": self.users,
        }
        if self.season is not None:
            arrays[SEASON] = self.season
        for behaviour, matrix in self.neighbours.items():
            arrays |= _parts_of(f"neighbours.{behaviour}", matrix)
        if self.linear is not None:
            arrays |= _parts_of(LINEAR, self.linear)
        ials = sequence = None
        if self.ials is not None:
            arrays[IALS] = self.ials.product_factors
            ials = self.ials.options.model_dump(mode="json")
        if self.sequence is not None:
            arrays |= {f"{SEQUENCE}.{name}": a for name, a in self.sequence.arrays().items()}
            sequence = self.sequence.pooling.options.model_dump(mode="json")
        settings = {
            "ials": ials,
            "sequence": sequence,
            "as_of": self.as_of.isoformat(),
            "half_lives_days": self.half_lives_days,
            "linear_decays": self.linear_decays,
            "weights": {name: dict(weights) for name, weights in self.weights.items()},
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(arrays, path, metadata={"settings": json.dumps(settings)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with safe_open(path, "np") as file:
            settings = json.loads(file.metadata()["settings"])
        arrays = mapped_arrays(path)
        size = len(arrays["users"])
        neighbours = {
            behaviour: _joined(f"neighbours.{behaviour}", arrays, size)
            for behaviour in settings["weights"]
        }
        return cls(
            as_of=datetime.fromisoformat(settings["as_of"]),
            popularity=arrays["popularity"],
            repeat_rate=arrays["repeat_rate"],
            users=arrays["users"],
            season=arrays.get(SEASON),
            neighbours=neighbours,
            linear=_joined(LINEAR, arrays, size) if f"{LINEAR}.data" in arrays else None,
            ials=_factorisation_of(arrays, settings["ials"]),
            sequence=_sequence_encoder(arrays, settings["sequence"]),
            half_lives_days=tuple(settings["half_lives_days"]),
            linear_decays=tuple(settings["linear_decays"]),
            weights=settings["weights"],
        )


def own_history(scores: Mapping[str, Scores]) -> SparseScores:
    """What the users took, as the long memory weighs it."""
    own = scores[f"{OWN}_{TAKEN}_{MEMORIES[1]}"]
    assert isinstance(own, SparseScores)
    return own


def _by_memory(name: str, matrix: sparse.csr_matrix, size: int) -> dict[str, Scores]:
    """The rows of each memory of ``matrix`` (2 ``size``, P) as scores of their own."""
    dense = matrix.toarray()
    return {
        f"{name}_{memory}": SparseScores(dense[first : first + size], matrix, first)
        for memory, first in zip(MEMORIES, (0, size), strict=True)
    }


def _ials_scores(ials: Factorisation, history: sparse.csr_matrix) -> dict[str, Scores]:
    """Of histories with both memories, one below the other."""
    users = ials.user_factors(history)
    size = len(users) // 2
    names = [f"{IALS}_{memory}" for memory in MEMORIES]
    if size <= FEW_QUERIES:
        return {
            names[0]: FactorScores(users[:size], ials),
            names[1]: FactorScores(users[size:], ials),
        }
    dense = ials.scores_of(users)
    return {names[0]: DenseScores(dense[:size]), names[1]: DenseScores(dense[size:])}


def _parts_of(name: str, matrix: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
    return {f"{name}.{part}": getattr(matrix, part) for part in CSR_PARTS}


def _joined(name: str, arrays: Mapping[str, NDArray[Any]], size: int) -> sparse.csr_matrix:
    parts = tuple(arrays[f"{name}.{part}"] for part in CSR_PARTS)
    return sparse.csr_matrix(parts, shape=(size, size))


def _factorisation_of(
    arrays: Mapping[str, NDArray[Any]], options: Mapping[str, Any] | None
) -> Factorisation | None:
    if options is None:
        return None
    return Factorisation(arrays[IALS], ScorerFactorOptions.model_validate(options))


def _sequence_encoder(
    arrays: Mapping[str, NDArray[Any]], options: Mapping[str, Any] | None
) -> SequenceEncoder | None:
    if options is None:
        return None
    start = f"{SEQUENCE}."
    own = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
    return SequenceEncoder.of_arrays(own, SequenceOptions.model_validate(options))


def behaviours(
    events: pl.DataFrame, target_event_types: tuple[str, ...], options: ScorerOptions
) -> dict[str, dict[str, float]]:
    """The weight of each event type by behaviour; ``visited`` only where anything else happens."""
    others = {
        kind: weight
        for kind, weight in options.event_weights.by_type(()).items()
        if kind not in target_event_types
    }
    result = {TAKEN: dict.fromkeys(target_event_types, 1.0)}
    if events[c.EVENT_TYPE].is_in(list(others)).any():
        result[VISITED] = others
    return result


def _factorisation(
    past: pl.DataFrame,
    vocabulary: Vocabulary,
    as_of: datetime,
    weights: Mapping[str, Mapping[str, float]],
    options: ScorerFactorOptions,
) -> Factorisation:
    """Of the users of ``past``; of many, of as many spread over all of them.

    A product that nobody dealt with has a vector of zeros.
    """
    half_life = options.learning_half_life_days
    decay = None if half_life is None else Decay(as_of, half_life)
    users = Vocabulary.fit(past[c.USER_ID])
    if len(users) > options.users:
        some = np.linspace(0, len(users) - 1, options.users).astype(np.int64)
        users = Vocabulary(users.decode(some))
    of_any = {kind: weight for by_type in weights.values() for kind, weight in by_type.items()}
    matrix = interaction_matrix(past, users, vocabulary, of_any, decay)
    dealt_with = np.unique(matrix.indices)
    factors = np.zeros((len(vocabulary), options.factors), np.float32)
    if len(dealt_with) > 0:
        fitted = Factorisation.fit(matrix[:, dealt_with], options, SEED)
        factors[dealt_with] = fitted.product_factors
    return Factorisation(factors, options)


def fit_scorers(
    events: pl.DataFrame,
    products: pl.DataFrame,
    vocabulary: Vocabulary,
    as_of: datetime,
    weights: Mapping[str, Mapping[str, float]],
    options: ScorerOptions,
) -> Scorers:
    """Fit all scorers on the events strictly before ``as_of``.

    Args:
        events: the event table.
        products: the products' table, for their content.
        vocabulary: P products; others are left out.
        as_of: UTC.
        weights: see :func:`behaviours`.
        options: half-lives, neighbours, the linear model, the season.
    """
    past = events.filter(pl.col(c.TIMESTAMP) < as_of)
    taken = past.filter(pl.col(c.EVENT_TYPE).is_in(list(weights[TAKEN])))
    users = Vocabulary.fit(past[c.USER_ID])
    matrices = {
        behaviour: interaction_matrix(past, users, vocabulary, by_type)
        for behaviour, by_type in weights.items()
    }
    popularity = [
        product_counts(taken, vocabulary, Decay(as_of, half_life))
        for half_life in options.popularity_half_lives_days
    ]
    pairs = taken.group_by(c.USER_ID, c.PRODUCT_ID).agg(sessions=pl.col(c.SESSION_ID).n_unique())
    takers = product_counts(pairs, vocabulary)
    repeaters = product_counts(pairs.filter(pl.col("sessions") > 1), vocabulary)
    days = options.season_days
    linear = None
    if options.linear is not None:
        linear = linear_weights(taken, products, vocabulary, as_of, options.linear)
    ials = sequence = None
    if options.ials is not None:
        ials = _factorisation(past, vocabulary, as_of, weights, options.ials)
    if options.sequence is not None:
        sequence = fit_sequence_encoder(taken, products, vocabulary, as_of, options.sequence, SEED)
    return Scorers(
        as_of=as_of,
        popularity=np.stack(popularity, axis=1),
        repeat_rate=(repeaters + 1) / (takers + 5),
        users=takers,
        season=season_counts(taken, vocabulary, as_of, days) if days else None,
        neighbours={
            behaviour: cosine_neighbours(matrix, CosineOptions(neighbours=options.neighbours))
            for behaviour, matrix in matrices.items()
        },
        linear=linear,
        ials=ials,
        sequence=sequence,
        half_lives_days=options.history_half_lives_days,
        linear_decays=options.linear_decays,
        weights=weights,
    )
