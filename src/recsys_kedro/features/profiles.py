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
        events: the event table.
        products: the products' table, for categories and prices that events do not carry.
        users: the users' table.
        as_of: UTC, a snapshot's time.
        options: of the features.
    """
    asked = requests.select(c.USER_ID).unique().lazy()
    features = user_features(
        nw.from_native(events.lazy().join(asked, on=c.USER_ID, how="semi")),
        nw.from_native(products.lazy()),
        nw.from_native(users.lazy().join(asked, on=c.USER_ID, how="semi")),
        as_of,
        options,
    )
    profiles: pl.DataFrame = features.collect().to_native()
    return requests.join(profiles, on=c.USER_ID, how="left", maintain_order="left")
