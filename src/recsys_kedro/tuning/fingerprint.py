"""What a study belongs to, as digests: another shop, window or space is another study."""

import hashlib
import json
from typing import Any

import numpy as np
import polars as pl

from recsys_kedro.models.base import TrainingData


def digest(*parts: Any) -> str:
    """16 hexadecimal digits of SHA-256 over tables, arrays and plain values, in their order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, pl.DataFrame):
            total.update(",".join(part.columns).encode())
            total.update(part.hash_rows().to_numpy().tobytes())
        elif isinstance(part, np.ndarray):
            total.update(np.ascontiguousarray(part).tobytes())
        else:
            total.update(json.dumps(part, sort_keys=True, default=str).encode())
    return total.hexdigest()[:16]


def data_digest(data: TrainingData) -> str:
    """Of all that a fit before the validation window reads.

    What happened in the validation window is in :func:`window_digest`; what came after it is
    nowhere.
    """
    parts: list[Any] = [data.events, data.products, data.users]
    if data.product_snapshots is not None:
        parts.append(data.product_snapshots)
    if data.lists is not None:
        lists = data.lists
        parts += [lists.requests, lists.products.ids.to_frame(), list(lists.feature_names)]
        parts += [lists.offsets, lists.product, lists.features]
        parts += [lists.label, lists.taken, lists.proposed, lists.options.model_dump(mode="json")]
    return digest(*parts)


def window_digest(data: TrainingData) -> str:
    """Of the validation window: its cut, who is asked, and what they took.

    Raises:
        ValueError: if the data has no validation.
    """
    if data.validation is None:
        msg = "settings can only be tuned with validation data"
        raise ValueError(msg)
    queries = data.validation.queries
    return digest(
        data.cut,
        list(data.target_event_types),
        queries.requests,
        queries.history,
        queries.offsets,
        data.validation.truth,
    )
