"""Ordered sequences: how they are read, and what of them may be learned from.

Shapes: U users (or other windows of events), P items, A attributes, E events (packed, no
padding), S samples: a prefix of a user's sequence and the item that follows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_kedro.datasets.sequences import parse_attributes, parse_sequences

Ints: TypeAlias = NDArray[np.int64]


class Events(NamedTuple):
    """The events of windows, one row each."""

    window_E: Ints
    item_E: Ints
    age_E: Ints  # 0 is the newest of its window


@dataclass(frozen=True)
class Histories:
    """Windows of items in order, oldest first, over one packed array. None may be empty.

    Attributes:
        items_E: (E,) the items of all windows; windows may overlap.
        start_U: (U,) where each window starts.
        end_U: (U,) one past where it ends.
    """

    items_E: Ints
    start_U: Ints
    end_U: Ints

    @classmethod
    def of(cls, sequences: list[Ints]) -> Self:
        """One window per sequence."""
        end_U = np.cumsum([len(items) for items in sequences])
        start_U = np.concatenate([[0], end_U[:-1]])
        return cls(np.concatenate(sequences), start_U, end_U)

    def __len__(self) -> int:
        return len(self.start_U)

    @property
    def length_U(self) -> Ints:
        """(U,) events per window."""
        return self.end_U - self.start_U

    @property
    def last_U(self) -> Ints:
        """(U,) the newest item of each window."""
        return self.items_E[self.end_U - 1]

    def some(self, users: slice | Ints) -> "Histories":
        """Some of the windows, over the same items."""
        return Histories(self.items_E, self.start_U[users], self.end_U[users])

    def newest(self, most: int) -> "Histories":
        """At most so many events of each window."""
        return Histories(self.items_E, np.maximum(self.start_U, self.end_U - most), self.end_U)

    def events(self) -> Events:
        """Each event of each window."""
        length_U = self.length_U
        stop_U = np.cumsum(length_U)
        window_E = np.repeat(np.arange(len(self)), length_U)
        place_E = np.arange(stop_U[-1]) - (stop_U - length_U)[window_E]
        items_E = self.items_E[self.start_U[window_E] + place_E]
        return Events(window_E, items_E, length_U[window_E] - 1 - place_E)

    def prefixes(self, longest: int) -> tuple["Histories", Ints]:
        """Every proper prefix (S), cut to its newest events, and the item that follows it."""
        window_E, _, age_E = self.events()
        end_E = self.end_U[window_E] - 1 - age_E
        end_S = end_E[end_E > self.start_U[window_E]]
        start_S = self.start_U[window_E[end_E > self.start_U[window_E]]]
        prefixes = Histories(self.items_E, start_S, end_S).newest(longest)
        return prefixes, self.items_E[end_S]

    def weights(self, items: int, decay: float) -> sparse.csr_matrix:
        """(U, P) the sum of ``decay ** age`` over a window's events; 1 counts them."""
        window_E, item_E, age_E = self.events()
        value_E = (decay**age_E).astype(np.float32)
        shape = (len(self), items)
        return sparse.csr_matrix((value_E, (window_E, item_E)), shape=shape)


@dataclass(frozen=True)
class OrderedData:
    """The sequences of all users; items are numbered as they first appear.

    Attributes:
        sequences: the items of each user, oldest first.
        items: how many different ones there are (P).
        attributes_PA: which item has which attribute, if any are known.
    """

    sequences: list[Ints]
    items: int
    attributes_PA: sparse.csr_matrix | None

    def held_back(self, last: int) -> tuple[Histories, Ints]:
        """What precedes the ``last``-th item from the end, and that item, of who has both."""
        long = [items for items in self.sequences if len(items) > last]
        if not long:
            msg = f"no sequence is longer than {last}: nothing precedes the item to be predicted"
            raise ValueError(msg)
        histories = Histories.of([items[:-last] for items in long])
        return histories, np.array([items[-last] for items in long])


def read(sequences: Path, attributes: Path | None) -> OrderedData:
    """Read both files, see :mod:`recsys_kedro.datasets.sequences`.

    Raises:
        ValueError: naming the line or the item that cannot be read.
    """
    found = parse_sequences(sequences.read_bytes(), str(sequences))
    attributes_PA = read_attributes(attributes, found.items) if attributes else None
    return OrderedData(found.sequences, len(found.items), attributes_PA)


def read_attributes(path: Path, names: list[str]) -> sparse.csr_matrix:
    """(P, A) 1 where an item has an attribute; items that nobody has are left out."""
    listed = parse_attributes(path.read_bytes(), str(path))
    items, attributes = [], []
    for item, name in enumerate(names):
        kept = set(listed.get(name, ()))
        items += [item] * len(kept)
        attributes += kept
    if not items:
        msg = f"{path}: no attribute of any item of the sequences"
        raise ValueError(msg)
    number_of = {one: number for number, one in enumerate(sorted(set(attributes), key=in_order))}
    cells = (np.ones(len(items), np.float32), (items, [number_of[one] for one in attributes]))
    return sparse.csr_matrix(cells, shape=(len(names), len(number_of)))


def in_order(attribute: int | str) -> tuple[bool, int, str]:
    """Numbers by size, then texts."""
    if isinstance(attribute, int):
        return False, attribute, ""
    return True, 0, attribute
