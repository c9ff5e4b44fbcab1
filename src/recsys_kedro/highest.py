"""The highest of many values."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 32


def highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The positions of the ``count`` highest of (P,) values, in no order.

    All positions where there are fewer; of equal values at the border any.
    """
    if count >= len(values):
        return np.arange(len(values))
    if not 0 < count * BLOCK < len(values):
        return np.argpartition(-values, count)[:count]
    # As many blocks as are wanted have a value of ``least`` or more, so nothing below is needed.
    blocks = values[: len(values) // BLOCK * BLOCK].reshape(-1, BLOCK).max(axis=1)
    least = np.partition(blocks, len(blocks) - count)[len(blocks) - count]
    above = np.flatnonzero(values >= least)
    return above[np.argpartition(-values[above], count - 1)[:count]]
