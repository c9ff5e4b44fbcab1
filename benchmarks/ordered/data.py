"""Ordered sequences: how they are read, and what of them may be learned from.

Shapes: U users (or other windows of events), P items, A attributes, E events (packed, no
padding), S samples: a prefix of a user's sequence and the item that follows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

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
    """Read both files.

    Args:
        sequences: one user a line, ``user item item ...``, oldest first, between white space.
        attributes: JSON, ``{item: [attribute, ...]}`` with whole numbers as attributes.

    Raises:
        ValueError: naming the line or the item that cannot be read.
    """
    number_of: dict[str, int] = {}
    line_of: dict[str, int] = {}
    read_so_far = []
    for line, raw in enumerate(sequences.read_bytes().splitlines(), start=1):
        where = f"{sequences}, line {line}"
        words = decoded(raw, where).split()
        if not words:
            continue
        if len(words) == 1:
            msg = f"{where}: user {words[0]!r} has no items; want `user item item ...`"
            raise ValueError(msg)
        if words[0] in line_of:
            msg = f"{where}: user {words[0]!r} stands in line {line_of[words[0]]} already"
            raise ValueError(msg)
        line_of[words[0]] = line
        read_so_far.append(np.array([number_of.setdefault(w, len(number_of)) for w in words[1:]]))
    if not read_so_far:
        msg = f"{sequences}: no sequences; want one user a line, `user item item ...`"
        raise ValueError(msg)
    attributes_PA = read_attributes(attributes, number_of) if attributes else None
    return OrderedData(read_so_far, len(number_of), attributes_PA)


def decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{where}: not UTF-8 ({error})"
        raise ValueError(msg) from error


def read_attributes(path: Path, number_of: dict[str, int]) -> sparse.csr_matrix:
    """(P, A) 1 where an item has an attribute; items that nobody has are left out."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        msg = f"{path}, line {error.lineno}: not JSON ({error.msg})"
        raise ValueError(msg) from error
    if not isinstance(listed, dict):
        msg = f"{path}: want an object {{item: [attribute, ...]}}, not a {type(listed).__name__}"
        raise ValueError(msg)
    items, attributes = [], []
    for item, of_item in listed.items():
        if not isinstance(of_item, list) or any(type(one) is not int for one in of_item):
            msg = f"{path}, item {item!r}: want a list of whole numbers, not {of_item!r}"
            raise ValueError(msg)
        if item in number_of:
            kept = set(of_item)
            items += [number_of[item]] * len(kept)
            attributes += kept
    if not items:
        msg = f"{path}: no attribute of any item of the sequences"
        raise ValueError(msg)
    names, column = np.unique(attributes, return_inverse=True)
    cells = (np.ones(len(items), np.float32), (items, column))
    return sparse.csr_matrix(cells, shape=(len(number_of), len(names)))
