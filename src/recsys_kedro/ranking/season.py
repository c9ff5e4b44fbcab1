"""The season of a product: was it in demand at this time of the year, a year ago?

P products. The counts are as of a time and look back only; a year is 52 weeks, which keeps
the weekdays.
"""

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.models.interactions import product_counts
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]

YEAR: Final = timedelta(weeks=52)
PRIOR_OF_PRODUCT: Final = 10.0  # events that a product's own season weighs as much as
PRIOR_OF_CATEGORY: Final = 50.0
SEASON_FEATURES: Final = ("season", "season_category")


def reaches_back(taken: pl.DataFrame, as_of: datetime, days: int) -> bool:
    """Whether the log goes back to a year and ``days`` before ``as_of``.

    The first weeks of a log are no measure of anything.
    """
    first = taken[c.TIMESTAMP].min()
    return isinstance(first, datetime) and first <= as_of - YEAR - timedelta(days=days)


def season_counts(
    taken: pl.DataFrame, vocabulary: Vocabulary, as_of: datetime, days: int
) -> Floats:
    """(P, 2) events in the ``days`` that followed this date a year ago, and how many are usual.

    What is usual is the product's share of the whole year before ``as_of``, of as many events as
    all products had in those days. Products that nobody had taken by the end of those days count
    in neither: they were not there.

    All is 0 where the log does not reach back, see :func:`reaches_back`.

    Args:
        taken: target events, all before ``as_of``.
        vocabulary: P products.
        as_of: UTC.
        days: length of the window, days.
    """
    start = as_of - YEAR
    end = start + timedelta(days=days)
    time = pl.col(c.TIMESTAMP)
    if not reaches_back(taken, as_of, days):
        return np.zeros((len(vocabulary), 2), np.float32)
    there = product_counts(taken.filter(time < end), vocabulary) > 0
    then = product_counts(taken.filter(time.is_between(start, end, "left")), vocabulary)
    year = product_counts(taken.filter(time >= start), vocabulary) * there
    usual = year * (then.sum() / max(float(year.sum()), 1.0))
    return np.stack([then, usual], axis=1).astype(np.float32)


def season_features(counts: Floats, category: NDArray[np.int64]) -> dict[str, Floats]:
    """(P,) each of :data:`SEASON_FEATURES`: natural log of times the usual demand; 0 is as usual.

    A category's is drawn towards 0 and a product's towards its category's, the more the fewer
    events there are.

    Args:
        counts: (P, 2) see :func:`season_counts`.
        category: (P,) index from 0.
    """
    then, usual = counts.T.astype(np.float64)
    then_C, usual_C = (np.bincount(category, values) for values in (then, usual))
    times_C = (then_C + PRIOR_OF_CATEGORY) / (usual_C + PRIOR_OF_CATEGORY)
    times = times_C[category]
    own = (then + PRIOR_OF_PRODUCT * times) / (usual + PRIOR_OF_PRODUCT)
    logs = (np.log(values).astype(np.float32) for values in (own, times))
    return dict(zip(SEASON_FEATURES, logs, strict=True))
