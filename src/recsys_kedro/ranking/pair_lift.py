"""What a pair feature says about the next purchase: how much oftener its high values are taken."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro.training_lists import TrainingLists

NOTHING = 0  # the bin of what has nothing to say; pair features are 0 there


def pair_lifts(
    lists: TrainingLists, features: Sequence[str], bins: int = 10, most: int = 1_000_000
) -> pl.DataFrame:
    """By bin of each feature, the share that was taken against that of all candidates.

    One row per ``feature, bin``: ``low, high`` (values), ``rows``, ``taken`` (share) and ``lift``,
    ``taken`` divided by the share among all rows. Bin 0 holds the values that are 0, which stands
    for nothing to say; the others, from 1 on, hold equally many rows each, or fewer bins where
    values repeat. Only what a source proposed counts; candidates that were not taken are a sample,
    so shares are above those of a whole list and lifts compare within the lists.

    Args:
        lists: past queries with what was taken.
        features: names of pair features.
        bins: of the values that are not 0.
        most: rows, evenly spread, are looked at.

    Raises:
        ValueError: with the names that the lists lack.
    """
    unknown = sorted(set(features) - set(lists.feature_names))
    if unknown:
        msg = f"no pair feature {unknown}, only {', '.join(lists.feature_names)}"
        raise ValueError(msg)
    rows = np.flatnonzero(lists.proposed)
    rows = rows[:: -(-len(rows) // most)]
    label = lists.label[rows]
    return pl.concat(
        _lift_by_bin(name, lists.features[rows, lists.feature_names.index(name)], label, bins)
        for name in features
    )


def _lift_by_bin(
    name: str, values: NDArray[np.float16], label: NDArray[np.bool_], bins: int
) -> pl.DataFrame:
    value = values.astype(np.float64)
    speaks = value != 0
    edges = (
        np.unique(np.quantile(value[speaks], np.linspace(0, 1, bins + 1)[1:]))
        if speaks.any()
        else value[:0]
    )
    place = np.where(speaks, 1 + np.searchsorted(edges, value), NOTHING)
    return (
        pl.DataFrame({"bin": place, "value": value, "taken": label})
        .group_by("bin")
        .agg(
            low=pl.col("value").min(),
            high=pl.col("value").max(),
            rows=pl.len().cast(pl.Int64),
            taken=pl.col("taken").mean(),
        )
        .sort("bin")
        .select(
            pl.lit(name).alias("feature"),
            pl.all(),
            (pl.col("taken") / label.mean()).alias("lift"),
        )
    )
