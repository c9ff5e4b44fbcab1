"""How far a distribution has moved: the population stability index, PSI.

``PSI = sum over bins of (a - r) ln(a / r)`` with the shares a of the window and r of the reference:
the information of each against the other, added up. Siddiqi (2006), "Credit Risk Scorecards",
reads below 0.1 as no change and above 0.25 as a large one. Chance alone makes it about
``(bins - 1) (1 / n_window + 1 / n_reference)``, so small samples say nothing.

Bins belong to the reference: deciles of numbers and one below them all, the most frequent values
of everything else and one for the rest. Empty values have a bin of their own. Half an observation
is added to every bin that has any, so that one that is empty on one side is finite.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

DECILES: Final = np.arange(1, 10) / 10
MOST_VALUES: Final = 20
_HALF: Final = 0.5


@dataclass(frozen=True)
class Bins:
    """Where the values of a column are counted.

    Attributes:
        edges: of a column of numbers, each the last value of its bin; else empty.
        values: of any other column, each a bin; one more has all the rest.
        numeric: which of both it is.
    """

    edges: NDArray[np.float64]
    values: tuple[str, ...]
    numeric: bool

    @classmethod
    def of(cls, reference: pl.Series) -> "Bins":
        """The bins of a reference."""
        known = reference.drop_nulls()
        if reference.dtype.is_numeric():
            if known.is_empty():
                return cls(np.empty(0), (), numeric=True)
            numbers = known.to_numpy().astype(np.float64)
            deciles = np.quantile(numbers, DECILES, method="inverted_cdf")
            below = np.nextafter(numbers.min(), -np.inf)
            return cls(np.unique([below, *deciles]), (), numeric=True)
        counts = known.cast(pl.String).alias("value").value_counts()
        top = counts.sort(["count", "value"], descending=[True, False]).head(MOST_VALUES)
        return cls(np.empty(0), tuple(top["value"]), numeric=False)

    def counts(self, values: pl.Series) -> NDArray[np.float64]:
        """(B,) how many values fall into each bin; the last one has the empty ones."""
        known = values.drop_nulls()
        if self.numeric:
            place = np.searchsorted(self.edges, known.to_numpy().astype(np.float64), side="left")
            size = len(self.edges) + 1
        else:
            size = len(self.values) + 1
            codes = {value: code for code, value in enumerate(self.values)}
            place = (
                known.cast(pl.String)
                .replace_strict(codes, default=size - 1, return_dtype=pl.Int64)
                .to_numpy()
            )
        return np.append(np.bincount(place, minlength=size), values.null_count()).astype(np.float64)


@dataclass(frozen=True)
class Distribution:
    """A reference, counted once and compared with many windows.

    Attributes:
        bins: its own.
        counts: (B,) its values in each bin.
        size: its values, the empty ones included.
    """

    bins: Bins
    counts: NDArray[np.float64]
    size: int

    @classmethod
    def of(cls, reference: pl.Series) -> "Distribution":
        """Of the values of a column."""
        bins = Bins.of(reference)
        return cls(bins, bins.counts(reference), len(reference))

    def change_to(self, window: pl.Series) -> float:
        """The PSI of the same column in a window."""
        return stability_index(self.counts, self.bins.counts(window))


def stability_index(reference: NDArray[np.float64], window: NDArray[np.float64]) -> float:
    """PSI of (B,) counts against (B,) counts of the reference."""
    used = reference + window > 0
    r, a = ((counts[used] + _HALF) / (counts[used] + _HALF).sum() for counts in (reference, window))
    return float(((a - r) * np.log(a / r)).sum())
