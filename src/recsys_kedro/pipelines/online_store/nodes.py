"""Nodes of the online store: thin around what writes to Redis."""

import logging
from typing import Any

import polars as pl
import redis

from recsys_kedro.pipelines.online_store.options import OnlineStoreOptions
from recsys_kedro.serving.materialisation import Materialised, materialise
from recsys_kedro.serving.redis_link import connect
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit

LOGGER = logging.getLogger(__name__)

TIMEOUT_S = 30.0  # a whole batch of users is written in one trip


def materialise_users(
    events: pl.DataFrame,
    products: pl.DataFrame,
    product_features: pl.DataFrame,
    user_features: pl.DataFrame,
    split: TimeSplit,
    registration: dict[str, Any],
    options: OnlineStoreOptions,
    shop: str,
) -> Materialised:
    """Write histories and profiles as of ``split.as_of`` to Redis, if there is one.

    They are the very tables that the snapshot of the model is made of. ``registration`` is not
    read: it makes a run register its model first, so that a Redis that is down costs no model.

    Raises:
        ConnectionError: if Redis does not answer.
    """
    if not options.redis_url:
        note = "nothing is written: online_store.redis_url is empty"
        LOGGER.info(note)
        return Materialised(as_of=split.as_of, note=note)
    snapshot = ServingSnapshot.of(events, products, product_features, user_features, split.as_of)
    client = connect(options.redis_url.get_secret_value(), TIMEOUT_S)
    try:
        return materialise(client, shop, snapshot, options.batch_users, options.ttl_days)
    except redis.RedisError as error:
        msg = (
            f"online_store.redis_url: {error} Is that Redis up, and the password right? "
            "With an empty URL nothing is written, and the model answers from its snapshot."
        )
        raise ConnectionError(msg) from error
    finally:
        client.close()
