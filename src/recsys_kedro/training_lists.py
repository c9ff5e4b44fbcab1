"""Training lists: past queries, their candidates with pair features, and what was taken.

Q queries, N list rows, F pair features, P products of the catalogue. A query lies at a past
time and is answered with a snapshot at or before it; its label is what the user took after it.
There are two kinds: *window* queries ask at a snapshot's time what is taken within the next
horizon (as the evaluation does), *session* queries ask at the start of a visit what is taken
in that visit, and carry its context (as a request of the shop does).
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.profiles import with_profiles
from recsys_kedro.queries import Queries, build_queries
from recsys_kedro.ranges import ranges
from recsys_kedro.ranking.candidates import CandidateOptions, Candidates, offsets_of, propose
from recsys_kedro.ranking.pair_features import pair_features
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import TAKEN, ScorerOptions, behaviours, fit_scorers
from recsys_kedro.ranking.season import reaches_back
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.sampling import NO_PRODUCT, NegativeOptions, draw_negatives, draw_probabilities
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_requests import LABEL_END, RequestOptions, training_requests
from recsys_kedro.vocabulary import Vocabulary

HISTORY_LENGTH = "history_length"
UNPROPOSED = -1
AT_ONCE = 2  # snapshots built side by side; each holds some arrays of queries times products


class SamplingOptions(RequestOptions):
    """How many training lists there are, how long they are, and what proposes candidates."""

    list_negatives: int = Field(100, ge=1, description="candidates not taken, kept per list")
    sampled_negatives: int = Field(
        8, ge=0, description="negatives from the whole catalogue per list"
    )
    negatives: NegativeOptions = NegativeOptions()
    scorers: ScorerOptions = ScorerOptions()
    candidates: CandidateOptions = CandidateOptions()


@dataclass(frozen=True)
class TrainingLists:
    """The lists of all snapshots, sorted by snapshot.

    Attributes:
        requests: one row per query: ``user_id, as_of``, context, profile, ``snapshot_time``,
            ``label_end`` (nothing at or after it is in the label), and ``history_length``: its
            history are the first so many events of the user in the sorted event table.
        products: the catalogue that ``product`` counts in.
        feature_names: F names.
        offsets: (Q + 1,) the list of query q is ``[offsets[q], offsets[q + 1])``.
        product: (N,) product index.
        features: (N, F) float16.
        label: (N,) bool, taken in the label's window.
        taken: (N,) bool, taken before the query.
        proposed: (N,) bool, false for products that were taken though no source proposed them:
            they teach retrieval, not ranking.
        options: how the lists were made; what ranks them must propose and score alike.
    """

    requests: pl.DataFrame
    products: Vocabulary
    feature_names: tuple[str, ...]
    offsets: NDArray[np.int64]
    product: NDArray[np.int32]
    features: NDArray[np.float16]
    label: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    proposed: NDArray[np.bool_]
    options: SamplingOptions

    def known_at(
        self, cut: datetime, snapshots: int | None = None, lists: int = 0
    ) -> "TrainingLists":
        """Only the lists whose labels end by ``cut``.

        Args:
            cut: UTC.
            snapshots: only of the latest so many snapshots with windows; None: of all.
            lists: of more snapshots where those have fewer lists.
        """
        known = pl.col(LABEL_END) <= cut
        ended = self.requests.filter(known)
        windows = ended.filter(~pl.col(c.LIVE))[f.SNAPSHOT_TIME].unique().sort()
        if snapshots is not None and len(windows) > 0:
            few = sum((ended[f.SNAPSHOT_TIME] >= time).sum() < lists for time in windows)
            known = known & (pl.col(f.SNAPSHOT_TIME) >= windows.tail(max(snapshots, few + 1)).min())
        keep = self.requests.select(known).to_series().to_numpy()
        return self if keep.all() else self.take(np.flatnonzero(keep))

    def take(self, queries: NDArray[np.int64]) -> "TrainingLists":
        """The lists of these rows of ``requests``; one that is named twice is there twice."""
        _, rows = ranges(self.offsets[queries], self.offsets[queries + 1])
        return replace(
            self,
            requests=self.requests[queries],
            offsets=offsets_of(np.diff(self.offsets)[queries]),
            product=self.product[rows],
            features=self.features[rows],
            label=self.label[rows],
            taken=self.taken[rows],
            proposed=self.proposed[rows],
        )

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as Parquet and safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        self.requests.write_parquet(folder / "requests.parquet")
        self.products.save(folder / "products.parquet")
        names = ("offsets", "product", "features", "label", "taken", "proposed")
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        metadata = {
            "feature_names": json.dumps(self.feature_names),
            "options": self.options.model_dump_json(),
        }
        save_file(arrays, folder / "lists.safetensors", metadata=metadata)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        path = folder / "lists.safetensors"
        with safe_open(path, "np") as file:
            metadata = file.metadata()
        return cls(
            requests=pl.read_parquet(folder / "requests.parquet"),
            products=Vocabulary.load(folder / "products.parquet"),
            feature_names=tuple(json.loads(metadata["feature_names"])),
            options=SamplingOptions.model_validate_json(metadata["options"]),
            **load_file(path),
        )


def build_training_lists(
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    split: TimeSplit,
    options: SamplingOptions,
    feature_options: FeatureOptions,
    seed: int,
) -> TrainingLists:
    """Build the lists of every snapshot time in ``product_snapshots`` that has labels.

    Args:
        events: the event table, sorted by user, time and source row.
        products: the products' table.
        users: the users' table.
        product_snapshots: product features, one row per product and ``snapshot_time``.
        split: the horizon, and what counts as taken.
        options: how many, how long, which candidates.
        feature_options: of the users' profiles.
        seed: of the samples; each snapshot has its own stream.

    Raises:
        ValueError: if no snapshot has a query.
    """
    options = _without_season_of_a_young_shop(options, events, product_snapshots, split)
    builder = _ListBuilder(
        events,
        products,
        users,
        Vocabulary.fit(product_snapshots[c.PRODUCT_ID]),
        Vocabulary.fit(product_snapshots[c.CATEGORY]),
        behaviours(events, split.target_event_types, options.scorers),
        split,
        options,
        feature_options,
        seed,
    )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        built = pool.map(builder.lists_of, *zip(*_by_time(product_snapshots), strict=True))
        parts = [part for part in built if part is not None]
    if not parts:
        msg = (
            "training lists: no query with a label in any snapshot; there are too few weeks of "
            "events before the validation window. Set a smaller split.horizon_days."
        )
        raise ValueError(msg)
    return _joined(parts)


def _without_season_of_a_young_shop(
    options: SamplingOptions, events: pl.DataFrame, snapshots: pl.DataFrame, split: TimeSplit
) -> SamplingOptions:
    """Without the season of products if no snapshot can tell it."""
    taken = events.filter(pl.col(c.EVENT_TYPE).is_in(list(split.target_event_types)))
    last: datetime = snapshots.select(pl.col(f.SNAPSHOT_TIME).max()).item()
    if reaches_back(taken, last, options.scorers.season_days):
        return options
    scorers = options.scorers.model_copy(update={"season_days": 0})
    return options.model_copy(update={"scorers": scorers})


@dataclass(frozen=True)
class _ListBuilder:
    """What the lists of all snapshots share."""

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    catalogue: Vocabulary
    categories: Vocabulary
    weights: Mapping[str, Mapping[str, float]]
    split: TimeSplit
    options: SamplingOptions
    feature_options: FeatureOptions
    seed: int

    def lists_of(self, time: datetime, features: pl.DataFrame) -> TrainingLists | None:
        """The lists of one snapshot, or None where nothing was taken after it."""
        rng = np.random.default_rng([self.seed, int(time.timestamp())])
        requests = training_requests(self.events, time, self.split, self.options, rng)
        if requests.is_empty():
            return None
        snapshot = Snapshot(
            fit_scorers(
                self.events, self.products, self.catalogue, time, self.weights, self.options.scorers
            ),
            product_state(features, self.catalogue, self.categories),
            self.catalogue,
            self.categories,
        )
        tables = (self.events, self.products, self.users)
        requests = with_profiles(requests, *tables, time, self.feature_options)
        # Windows and visits are sampled apart, so that neither's negatives hang on the other.
        shelves = Shelves.of(snapshot, self.options.candidates.new_days)
        parts = [
            _lists(batch, snapshot, shelves, self.events, self.options, stream)
            for live, stream in zip((False, True), rng.spawn(2), strict=True)
            if not (some := requests.filter(pl.col(c.LIVE) == live)).is_empty()
            for _, batch in build_queries(self.events, some).batches_over(len(self.catalogue))
        ]
        return _joined(parts)


def _by_time(snapshots: pl.DataFrame) -> Iterator[tuple[datetime, pl.DataFrame]]:
    for time in snapshots[f.SNAPSHOT_TIME].unique().sort().to_list():
        yield time, snapshots.filter(pl.col(f.SNAPSHOT_TIME) == time)


def _lists(
    queries: Queries,
    snapshot: Snapshot,
    shelves: Shelves,
    events: pl.DataFrame,
    options: SamplingOptions,
    rng: np.random.Generator,
) -> TrainingLists:
    target_types = list(snapshot.scorers.weights[TAKEN])
    scores = snapshot.scorers.catalogue_scores(queries, snapshot.vocabulary)
    taken = queries.seen(snapshot.vocabulary, target_types)
    label = _labels(queries, snapshot, events, target_types)
    candidates = propose(scores, shelves, taken, options.candidates)
    candidates = _thinned(candidates, label, options.list_negatives, rng)
    sampled = _sampled_negatives(taken | label, snapshot, options, rng)
    candidates = _with_more(candidates, sampled, label)
    features = pair_features(queries, candidates, scores, snapshot)
    requests = queries.requests.with_columns(pl.Series(HISTORY_LENGTH, np.diff(queries.offsets)))
    return TrainingLists(
        requests,
        snapshot.vocabulary,
        features.names,
        candidates.offsets,
        candidates.product.astype(np.int32),
        features.values.astype(np.float16),
        label[candidates.query, candidates.product],
        taken[candidates.query, candidates.product],
        (candidates.source != UNPROPOSED) | ~label[candidates.query, candidates.product],
        options,
    )


def _labels(
    queries: Queries, snapshot: Snapshot, events: pl.DataFrame, target_types: list[str]
) -> NDArray[np.bool_]:
    """(Q, P) taken from the query's time to the end of its label."""
    asked = queries.requests.lazy().select(c.USER_ID, c.AS_OF, LABEL_END).with_row_index(c.QUERY)
    pairs = (
        events.lazy()
        .filter(pl.col(c.EVENT_TYPE).is_in(target_types))
        .select(c.USER_ID, c.PRODUCT_ID, c.TIMESTAMP)
        .join(asked, on=c.USER_ID)
        .filter(pl.col(c.TIMESTAMP).is_between(pl.col(c.AS_OF), pl.col(LABEL_END), "left"))
        .select(c.QUERY, c.PRODUCT_ID)
        .collect()
    )
    label = np.zeros((len(queries), len(snapshot.vocabulary)), bool)
    query, product = pairs[c.QUERY].to_numpy(), snapshot.vocabulary.encode(pairs[c.PRODUCT_ID])
    known = product >= 0
    label[query[known], product[known]] = True
    return label


def _thinned(
    candidates: Candidates, label: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> Candidates:
    """All candidates that were taken, and at most ``most`` others per query, at random."""
    positive = label[candidates.query, candidates.product]
    key = np.where(positive, -1.0, rng.random(len(positive)))
    order = np.lexsort((key, candidates.query))
    positives = np.bincount(candidates.query, positive, minlength=len(label)).astype(np.int64)
    place = np.arange(len(order)) - candidates.offsets[candidates.query[order]]
    keep = np.zeros(len(order), bool)
    keep[order] = place < (positives + most)[candidates.query[order]]
    return candidates.where(keep)


def _sampled_negatives(
    forbidden: NDArray[np.bool_],
    snapshot: Snapshot,
    options: SamplingOptions,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """(Q, P) negatives from the whole catalogue: the ranker has to know what nobody proposes."""
    known = snapshot.products.known
    probabilities = draw_probabilities(snapshot.scorers.popularity[:, -1], options.negatives)
    probabilities = np.where(known, probabilities, 0.0) / probabilities[known].sum()
    size = (len(forbidden), options.sampled_negatives)
    query, product = np.nonzero(forbidden)
    drawn = draw_negatives((query, product), size, probabilities, rng)
    row, place = np.nonzero(drawn != NO_PRODUCT)
    sampled = np.zeros(forbidden.shape, bool)
    sampled[row, drawn[row, place]] = True
    return sampled


def _with_more(candidates: Candidates, *more: NDArray[np.bool_]) -> Candidates:
    """The candidates and, without a source, all that is marked in a (Q, P) array of ``more``."""
    shape = more[0].shape
    source = np.full(shape, UNPROPOSED, np.int8)
    source[candidates.query, candidates.product] = candidates.source
    marked = source != UNPROPOSED
    for extra in more:
        marked |= extra
    query, product = np.nonzero(marked)
    counts = np.bincount(query, minlength=shape[0])
    return Candidates(query, product, source[query, product], offsets_of(counts))


def _joined(parts: list[TrainingLists]) -> TrainingLists:
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return TrainingLists(
        pl.concat([part.requests for part in parts], how="diagonal_relaxed"),
        parts[0].products,
        parts[0].feature_names,
        offsets_of(lengths),
        np.concatenate([part.product for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.taken for part in parts]),
        np.concatenate([part.proposed for part in parts]),
        parts[0].options,
    )
