"""The landed files of a topic. They, not the broker, say what has been landed.

For every topic and partition::

    <folder>/topic=events/partition=0/offsets-<first>-<last>.parquet               events
    <folder>/dead_letters/topic=events/partition=0/offsets-<first>-<last>.parquet  the unusable

A file of events holds all usable messages of its offsets, even if that is none: with its name
they count as landed, whole or not at all. Dead letters of the same offsets are there before it.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

DEAD_LETTERS = "dead_letters"
NAME = re.compile(r"offsets-(\d{20})-(\d{20})\.parquet")


class Offsets(NamedTuple):
    """The offsets of a file, both inclusive."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """Of the file; sorts as the offsets do."""
        return f"offsets-{self.first:020}-{self.last:020}.parquet"


class LandedFiles:
    """The files of one topic in one folder, local or of an object store."""

    def __init__(self, folder: str, topic: str) -> None:
        """Touch nothing yet.

        Args:
            folder: a path or URL that fsspec knows.
            topic: whose files.
        """
        self._fs, root = fsspec.url_to_fs(folder)
        self._events = f"{root}/topic={topic}"
        self._dead_letters = f"{root}/{DEAD_LETTERS}/topic={topic}"
        self._is_local = isinstance(self._fs, LocalFileSystem)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other landings of this machine out of the topic's files.

        An object store has no lock; there :meth:`add` notices most of them.

        Raises:
            BlockingIOError: another landing is at it.
        """
        if not self._is_local:
            yield
            return
        self._fs.makedirs(self._events, exist_ok=True)
        with Path(self._events, ".lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                msg = f"another landing is writing to {self._events}. Let it end"
                raise BlockingIOError(error.errno, msg) from None
            yield

    def partitions(self) -> list[int]:
        """Those with files."""
        names = self._names(self._events)
        numbers = [name.removeprefix("partition=") for name in names if "partition=" in name]
        return sorted(int(number) for number in numbers)

    def next_offset(self, partition: int) -> int | None:
        """One past the highest landed offset; None where nothing is landed.

        Raises:
            ValueError: two files tell of the same offsets.
        """
        landed = self._offsets(self._of(self._events, partition))
        for one, other in pairwise(landed):
            if other.first <= one.last:
                msg = (
                    f"{self._of(self._events, partition)}: {one.name} and {other.name} hold the "
                    "same offsets; two landings wrote at once. Move one of them away, and what "
                    "comes after it, and land again"
                )
                raise ValueError(msg)
        return landed[-1].last + 1 if landed else None

    def add(
        self, partition: int, offsets: Offsets, events: pl.DataFrame, dead_letters: pl.DataFrame
    ) -> None:
        """Write both tables; the offsets are landed once the events are there.

        Raises:
            FileExistsError: some of the offsets are landed already.
        """
        landed = self.next_offset(partition)
        if landed is not None and landed > offsets.first:
            msg = (
                f"{self._of(self._events, partition)}: offset {offsets.first} is landed already; "
                "another landing is writing there. Nothing is lost; let only one run"
            )
            raise FileExistsError(msg)
        if not dead_letters.is_empty():
            self._put(dead_letters, self._of(self._dead_letters, partition), offsets.name)
        self._put(events, self._of(self._events, partition), offsets.name)

    def forget_unfinished(self, partition: int, start: int) -> None:
        """Remove what a landing that was cut short has left at or after ``start``.

        Those offsets are about to be landed, so their dead letters come again.
        """
        dead = self._of(self._dead_letters, partition)
        for offsets in self._offsets(dead):
            if offsets.first >= start:
                self._fs.rm_file(f"{dead}/{offsets.name}")
        for folder in (dead, self._of(self._events, partition)):
            for name in self._names(folder):
                if name.endswith(".part"):
                    self._fs.rm_file(f"{folder}/{name}")

    def _put(self, table: pl.DataFrame, folder: str, name: str) -> None:
        """The file is there whole, also after a power cut, or not at all."""
        buffer = BytesIO()
        table.write_parquet(buffer)
        if not self._is_local:
            self._fs.pipe_file(f"{folder}/{name}", buffer.getvalue())
            return
        self._fs.makedirs(folder, exist_ok=True)
        part = Path(folder, f".{name}.part")
        with part.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.rename(Path(folder, name))

    def _offsets(self, folder: str) -> list[Offsets]:
        found = (NAME.fullmatch(name) for name in self._names(folder))
        return sorted(Offsets(*map(int, match.groups())) for match in found if match)

    def _names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache(folder)
        try:
            return [Path(path).name for path in self._fs.ls(folder, detail=False)]
        except FileNotFoundError:
            return []

    @staticmethod
    def _of(kind: str, partition: int) -> str:
        return f"{kind}/partition={partition}"
