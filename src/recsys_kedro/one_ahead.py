"""Work on one item while the next is being made."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order, each made by a thread while its predecessor is in use.

    Worth it for large tables: two are in memory at a time, and Polars and Arrow leave Python's
    lock alone. An error in the making comes when its item is asked for.
    """
    rest = iter(items)
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, rest, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, rest, _END)
            yield item  # type: ignore[misc]  # it is not the end
