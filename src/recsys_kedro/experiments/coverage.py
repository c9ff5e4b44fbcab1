"""How much of the catalogue each variant shows: a figure of many lists, not of one user.

More users are shown more products, so variants of unequal size cannot be compared directly.
Users are dealt at random into batches of equal size; a batch is the unit of the metric.
"""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e


def coverage_totals(
    units: pl.LazyFrame, impressions: pl.LazyFrame, products: int, batch_units: int
) -> pl.LazyFrame:
    """One row per full batch: ``variant, batch, shown_share``, for :data:`.unit_metrics.COVERAGE`.

    Args:
        units: from :func:`.exposures.exposed_units`.
        impressions: from :func:`.exposures.of_experiment`.
        products: size of the catalogue.
        batch_units: users of a batch; what is left over is not counted.
    """
    place = pl.col(c.USER_ID).hash().rank("ordinal").over(c.VARIANT) - 1
    size = pl.len().over(c.VARIANT)
    batch = (place // batch_units).alias("batch")
    dealt = units.select(c.USER_ID, c.VARIANT, batch, (size // batch_units).alias("full"))
    full = dealt.filter(pl.col("batch") < pl.col("full")).drop("full")
    key = [c.VARIANT, "batch"]
    return (
        impressions.select(c.USER_ID, c.PRODUCT_ID)
        .join(full, on=c.USER_ID)
        .select(*key, c.PRODUCT_ID)
        .unique()
        .group_by(key)
        .agg((pl.len() / products).alias(e.SHOWN_SHARE))
    )
