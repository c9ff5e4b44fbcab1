"""User features beside requests: the profile of a query."""

from datetime import datetime

import narwhals as nw
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.user import user_features


def with_profiles(
    requests: pl.DataFrame,
    events: pl.DataFrame,
    products: pl.DataFrame,
    users: pl.DataFrame,
    as_of: datetime,
    options: FeatureOptions,
) -> pl.DataFrame:
    """The requests with their users' features as of ``as_of``; only those users are computed.

    Args:
        requests: one row per request, with ``user_id``; none is before ``as_of``.
        events, products, users: the tables.
        as_of: UTC, a snapshot's time.
        options: of the features.
    """
    asked = requests.select(c.USER_ID).unique().lazy()
    tables = (
        events.lazy().join(asked, on=c.USER_ID, how="semi"),
        products.lazy(),
        users.lazy().join(asked, on=c.USER_ID, how="semi"),
    )
    features = user_features(*(nw.from_native(table) for table in tables), as_of, options)
    profiles = nw.to_native(features.collect())
    return requests.join(profiles, on=c.USER_ID, how="left", maintain_order="left")
