"""Batches of training lists for the hybrid network.

B queries of one snapshot, E past events, C candidates per list (padded to the longest of the
batch), R products of the retrieval loss, U distinct products of the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.models.distributed import Peers
from recsys_kedro.models.network import HistoryTensors, RequestTensors
from recsys_kedro.queries import event_type_codes
from recsys_kedro.ranges import ranges
from recsys_kedro.sampling import log_expected_count
from recsys_kedro.training_lists import HISTORY_LENGTH, TrainingLists
from recsys_kedro.vocabulary import Vocabulary


class PackedHistories(NamedTuple):
    """E past events of B queries."""

    product: NDArray[np.int64]  # (E,) all known
    event_type: NDArray[np.int64]  # (E,)
    age_days: NDArray[np.float32]  # (E,)
    row: NDArray[np.int64]  # (E,) the query of each


class Batch(NamedTuple):
    """One training step; products are positions in ``distinct``."""

    requests: RequestTensors
    history: HistoryTensors
    numbers: Tensor  # (P, N) product numbers as of the snapshot
    distinct: Tensor  # (U,) product indices
    history_position: Tensor  # (E,)
    candidate: Tensor  # (B, C)
    pair: Tensor  # (B, C, F)
    label: Tensor  # (B, C) bool
    taken: Tensor  # (B, C) bool
    valid: Tensor  # (B, C) bool, false in the padding
    retrieved: Tensor  # (R,)
    log_count: Tensor  # (R,) log of how often each is expected among the R
    wanted: Tensor  # (B, R) bool, new products that the user then took
    forbidden: Tensor  # (B, R) bool, products that the user had taken already


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batches of an epoch; the same seed and epoch give the same batches.

    Attributes:
        lists: what to learn from.
        product_of: (P,) from the lists' product index to the model's.
        requests: context and profile of all lists.
        events: product index (-1 unknown), type and time of every row of the event table.
        numbers: by snapshot time, (P, N) product numbers.
        probabilities: (P,) of a negative of the retrieval loss.
        batch_size, list_size, negatives, max_history: see ``HybridOptions``.
        seed: of shuffling, thinning and negatives.
        device: where the tensors go.
        rank, processes: which share of every batch is made here, of how many.
    """

    lists: TrainingLists
    product_of: NDArray[np.int64]
    requests: RequestTensors
    events: "EventArrays"
    numbers: dict[datetime, Tensor]
    probabilities: NDArray[np.float64]
    batch_size: int
    list_size: int
    negatives: int
    max_history: int
    seed: int
    device: torch.device
    rank: int = 0
    processes: int = 1

    def on(self, peers: Peers) -> "BatchMaker":
        """The share of one process, on its device."""
        numbers = {time: tensor.to(peers.device) for time, tensor in self.numbers.items()}
        return replace(
            self, numbers=numbers, device=peers.device, rank=peers.rank, processes=peers.count
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """All lists once, in random order, each batch from one snapshot.

        Several processes make the same batches and learn from every so manieth list of each; a
        batch with fewer lists than processes is learned by all of them.
        """
        rng = np.random.default_rng([self.seed, epoch])
        groups = self._groups()
        chunks = [
            (time, rows[order[start : start + self.batch_size]])
            for time, rows in groups
            for order in [rng.permutation(len(rows))]
            for start in range(0, len(rows), self.batch_size)
        ]
        order = rng.permutation(len(chunks))
        own = rng if self.processes == 1 else rng.spawn(self.processes)[self.rank]
        for number in order:
            time, rows = chunks[number]
            share = rows[self.rank :: self.processes] if len(rows) >= self.processes else rows
            yield self._batch(self.numbers[time], share, own)

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return sum(-(-len(rows) // self.batch_size) for _, rows in self._groups())

    def _groups(self) -> list[tuple[datetime, NDArray[np.int64]]]:
        times = self.lists.requests.with_row_index("row").group_by(
            f.SNAPSHOT_TIME, maintain_order=True
        )
        return [(time, frame["row"].to_numpy().astype(np.int64)) for (time,), frame in times]

    def _batch(self, numbers: Tensor, rows: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        history = self.events.histories(self.lists.requests[rows], self.max_history)
        place, valid = self._list_rows(rows, rng)
        candidate = self.product_of[self.lists.product[place]]
        label, taken = self.lists.label[place] & valid, self.lists.taken[place]
        retrieved, log_count, wanted, forbidden = self._retrieval(rows, history, rng)
        distinct, inverse = np.unique(
            np.concatenate([history.product, candidate.ravel(), retrieved]), return_inverse=True
        )
        events, lists = len(history.product), candidate.size

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        asked = torch.from_numpy(rows)
        return Batch(
            requests=RequestTensors(*(every[asked].to(self.device) for every in self.requests)),
            history=HistoryTensors(
                tensor(history.product),
                tensor(history.event_type),
                tensor(np.log1p(history.age_days)),
                tensor(history.row),
            ),
            numbers=numbers,
            distinct=tensor(distinct),
            history_position=tensor(inverse[:events]),
            candidate=tensor(inverse[events : events + lists].reshape(candidate.shape)),
            pair=tensor(self.lists.features[place].astype(np.float32)),
            label=tensor(label),
            taken=tensor(taken),
            valid=tensor(valid & self.lists.proposed[place]),
            retrieved=tensor(inverse[events + lists :]),
            log_count=tensor(log_count),
            wanted=tensor(wanted),
            forbidden=tensor(forbidden),
        )

    def _list_rows(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(B, C) rows of the lists, taken first, then others at random; and which are real."""
        start, stop = self.lists.offsets[rows], self.lists.offsets[rows + 1]
        query, flat = ranges(start, stop)
        taken_later = self.lists.label[flat] & self.lists.proposed[flat]
        order = np.lexsort((rng.random(len(flat)) - taken_later, query))
        length = np.minimum(stop - start, self.list_size)
        width = np.arange(int(length.max(initial=1)))
        valid = width < length[:, None]
        first = np.cumsum(stop - start) - (stop - start)
        return flat[order][np.where(valid, first[:, None] + width, first[:, None])], valid

    def _retrieval(
        self, rows: NDArray[np.int64], history: PackedHistories, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """The batch's new products and shared negatives, and who wants or has which."""
        query, flat = ranges(self.lists.offsets[rows], self.lists.offsets[rows + 1])
        new = self.lists.label[flat] & ~self.lists.taken[flat]
        positive = self.product_of[self.lists.product[flat[new]]]
        drawn = rng.choice(len(self.probabilities), self.negatives, p=self.probabilities)
        retrieved = np.unique(np.concatenate([positive, drawn]))
        share = np.bincount(positive, minlength=len(self.probabilities))
        expected = np.exp(log_expected_count(self.probabilities, self.negatives)) + share
        wanted = np.zeros((len(rows), len(retrieved)), bool)
        wanted[query[new], np.searchsorted(retrieved, positive)] = True
        had = np.isin(history.product, retrieved)
        forbidden = np.zeros_like(wanted)
        forbidden[history.row[had], np.searchsorted(retrieved, history.product[had])] = True
        return (
            retrieved,
            np.log(expected[retrieved]).astype(np.float32),
            wanted,
            forbidden & ~wanted,
        )


@dataclass(frozen=True)
class EventArrays:
    """The event table as arrays.

    Attributes:
        product: (E,) product index, -1 unknown.
        event_type: (E,) position in ``EVENT_TYPES``.
        time: (E,) microseconds since 1970.
        first_row: ``user_id, first_row``, where each user's block of the table starts.
    """

    product: NDArray[np.int64]
    event_type: NDArray[np.int64]
    time: NDArray[np.int64]
    first_row: pl.DataFrame

    @classmethod
    def of(cls, events: pl.DataFrame, vocabulary: Vocabulary) -> "EventArrays":
        """The columns of an event table, sorted by user, time and source row."""
        first_row = (
            events.with_row_index("first_row")
            .group_by(c.USER_ID)
            .agg(pl.col("first_row").min().cast(pl.Int64))
        )
        return cls(
            vocabulary.encode(events[c.PRODUCT_ID]),
            event_type_codes(events[c.EVENT_TYPE]),
            events[c.TIMESTAMP].dt.epoch("us").to_numpy(),
            first_row,
        )

    def histories(self, requests: pl.DataFrame, most: int) -> PackedHistories:
        """The known ones of the newest ``most`` events before each request."""
        first = requests.join(self.first_row, on=c.USER_ID, how="left", maintain_order="left")
        start = first["first_row"].to_numpy()
        stop = start + requests[HISTORY_LENGTH].to_numpy()
        row, flat = ranges(np.maximum(start, stop - most), stop)
        known = self.product[flat] >= 0
        row, flat = row[known], flat[known]
        as_of = requests[c.AS_OF].dt.epoch("us").to_numpy()
        age = (as_of[row] - self.time[flat]) / 86_400e6
        return PackedHistories(
            self.product[flat], self.event_type[flat], age.astype(np.float32), row
        )
