"""Runs of a packed array."""

import numpy as np
from numpy.typing import NDArray


def ranges(
    start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers of the ranges ``[start, stop)``, and which range each is of."""
    length = stop - start
    row = np.repeat(np.arange(len(start)), length)
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return row, start[row] + within
