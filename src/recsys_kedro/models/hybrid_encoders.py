"""From tables to the tensors of the hybrid network; fitted as of a cut, saved with the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.columns import EVENT_TYPES
from recsys_kedro.features.encoders import ProductEncoder, UserEncoder
from recsys_kedro.features.encoding import CategoryEncoder
from recsys_kedro.features.options import EncoderOptions
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.models.network import HistoryTensors, ProductTensors, RequestTensors
from recsys_kedro.queries import Queries
from recsys_kedro.vocabulary import Vocabulary

DAYS_PER_YEAR: Final = 365.25


@dataclass(frozen=True)
class HybridEncoders:
    """Product, user and context encoders.

    ``seasonal``: whether the requests span a year; the day of the year is hidden otherwise,
    since it would only tell one past week from another.
    """

    products: ProductEncoder
    users: UserEncoder
    devices: CategoryEncoder
    seasonal: bool

    @classmethod
    def fit(
        cls, product_features: pl.DataFrame, requests: pl.DataFrame, options: EncoderOptions
    ) -> Self:
        """Learn from product features as of the cut and from past requests with profiles."""
        products = ProductEncoder.fit(product_features, options)
        return cls(
            products,
            UserEncoder.fit(with_all_features(requests), products, options),
            CategoryEncoder.fit(requests[c.DEVICE_TYPE], options.min_count),
            _days_spanned(requests[c.AS_OF]) >= DAYS_PER_YEAR,
        )

    def product_tensors(self, features: pl.DataFrame) -> ProductTensors:
        """The content of the products, in the order of the rows."""
        arrays = self.products.transform(features)
        return ProductTensors(
            category=torch.from_numpy(arrays.category_index),
            subcategory=torch.from_numpy(arrays.subcategory_index),
            brand=torch.from_numpy(arrays.brand_index),
            numbers=torch.from_numpy(arrays.numbers),
            tokens=torch.from_numpy(arrays.words.ids.copy()),
            token_offsets=torch.from_numpy(arrays.words.offsets),
        )

    def request_tensors(self, requests: pl.DataFrame) -> RequestTensors:
        """Context and profile of the requests, in the order of the rows."""
        profile = self.users.transform(with_all_features(requests)).numbers
        return RequestTensors(
            time=torch.from_numpy(time_numbers(requests, seasonal=self.seasonal)),
            device=torch.from_numpy(self.devices.transform(requests[c.DEVICE_TYPE])),
            category=torch.from_numpy(self.products.category.transform(requests[c.CATEGORY])),
            profile=torch.from_numpy(profile),
        )

    def save(self, folder: Path) -> None:
        """Write them into ``folder``."""
        self.products.save(folder / "products")
        self.users.save(folder / "users")
        self.devices.save(folder / "devices.parquet")
        (folder / "seasonal.json").write_text(json.dumps(self.seasonal), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(
            ProductEncoder.load(folder / "products"),
            UserEncoder.load(folder / "users"),
            CategoryEncoder.load(folder / "devices.parquet"),
            json.loads((folder / "seasonal.json").read_text(encoding="utf-8")),
        )


def _days_spanned(times: pl.Series) -> float:
    microseconds = times.dt.epoch("us").to_numpy()
    return float(np.ptp(microseconds)) / 86_400e6 if len(microseconds) else 0.0


def with_all_features(requests: pl.DataFrame) -> pl.DataFrame:
    """The requests with every user feature; empty where the request came without."""
    missing = {
        name: column.dtype.type
        for name, column in USER_FEATURES.columns.items()
        if name not in requests.columns
    }
    return requests.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items())


def time_numbers(requests: pl.DataFrame, *, seasonal: bool) -> NDArray[np.float32]:
    """(B, 7) season, whether the user is in a session, and then hour and weekday, as circles."""
    time = pl.col(c.AS_OF)
    circles = {
        "season": 2 * np.pi * time.dt.ordinal_day() / DAYS_PER_YEAR,
        "hour": 2 * np.pi * (time.dt.hour() + time.dt.minute() / 60) / 24,
        "weekday": 2 * np.pi * time.dt.weekday() / 7,
    }
    live = pl.col(c.LIVE).fill_null(value=False).cast(pl.Float64)
    seen = {"season": pl.lit(float(seasonal)), "hour": live, "weekday": live}
    columns = [
        (wave * seen[name]).alias(f"{name}_{place}")
        for name, angle in circles.items()
        for place, wave in enumerate((angle.sin(), angle.cos()))
    ]
    return requests.select(*columns, live.alias("live")).to_numpy().astype(np.float32)


def history_tensors(queries: Queries, vocabulary: Vocabulary, most: int) -> HistoryTensors:
    """The newest ``most`` events of each query, those of known products."""
    stop = queries.offsets[1:]
    row, flat = ranges(np.maximum(queries.offsets[:-1], stop - most), stop)
    product = vocabulary.encode(queries.history[c.PRODUCT_ID])[flat]
    known = product >= 0
    row, flat = row[known], flat[known]
    codes = event_type_codes(queries.history[c.EVENT_TYPE])
    log_age = np.log1p(queries.age_days[flat])
    return HistoryTensors(
        *(torch.from_numpy(array) for array in (product[known], codes[flat], log_age, row))
    )


def event_type_codes(event_types: pl.Series) -> NDArray[np.int64]:
    """(E,) the position of each type in ``EVENT_TYPES``."""
    codes = event_types.replace_strict(
        list(EVENT_TYPES), list(range(len(EVENT_TYPES))), return_dtype=pl.Int64
    )
    return codes.to_numpy()


def ranges(
    start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers of the ranges ``[start, stop)``, and which range each is of."""
    length = stop - start
    row = np.repeat(np.arange(len(start)), length)
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return row, start[row] + within
