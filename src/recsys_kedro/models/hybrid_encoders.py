"""From tables to the tensors of the hybrid network; fitted as of a cut, saved with the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.features.encoders import ProductEncoder, UserEncoder
from recsys_kedro.features.encoding import CategoryEncoder, truths
from recsys_kedro.features.holidays import Holiday, holiday_nearness
from recsys_kedro.features.options import EncoderOptions
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.models.network import (
    TIME_NUMBERS,
    HistoryTensors,
    ProductTensors,
    RequestTensors,
)
from recsys_kedro.queries import Queries
from recsys_kedro.ranges import ranges
from recsys_kedro.vocabulary import Vocabulary

DAYS_PER_YEAR: Final = 365.25
SECONDS_PER_DAY: Final = 86_400
LONGEST_GAP_DAYS: Final = 60
FIRST_WEEKDAY: Final = 4  # the first of January 1970 was a Thursday; Monday is 1


@dataclass(frozen=True)
class HybridEncoders:
    """Product, user and context encoders.

    ``seasonal``: whether the requests cover a year, from its start to its end; the day of the
    year and the ``holidays`` are hidden otherwise, since they would only tell one past week from
    another.
    """

    products: ProductEncoder
    users: UserEncoder
    devices: CategoryEncoder
    seasonal: bool
    holidays: Mapping[str, Holiday]

    @classmethod
    def fit(
        cls, product_features: pl.DataFrame, requests: pl.DataFrame, options: EncoderOptions
    ) -> Self:
        """Learn from product features as of the cut and from past requests with profiles."""
        products = ProductEncoder.fit(product_features, options)
        seasonal = _cover_a_year(requests[c.AS_OF])
        return cls(
            products,
            UserEncoder.fit(with_all_features(requests), products, options),
            CategoryEncoder.fit(requests[c.DEVICE_TYPE], options.min_count),
            seasonal,
            options.holidays if seasonal and options.show_holidays else {},
        )

    @property
    def time_numbers(self) -> int:
        """How many numbers say when a request is."""
        return TIME_NUMBERS + 2 * len(self.holidays)

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
        profile = self.users.profile_numbers(with_all_features(requests))
        time = time_numbers(requests, self.holidays, seasonal=self.seasonal)
        return RequestTensors(
            time=torch.from_numpy(time),
            device=torch.from_numpy(self.devices.transform(requests[c.DEVICE_TYPE])),
            category=torch.from_numpy(self.products.category.transform(requests[c.CATEGORY])),
            profile=torch.from_numpy(profile),
        )

    def save(self, folder: Path) -> None:
        """Write them into ``folder``."""
        self.products.save(folder / "products")
        self.users.save(folder / "users")
        self.devices.save(folder / "devices.parquet")
        holidays = {name: holiday.model_dump() for name, holiday in self.holidays.items()}
        about = {"seasonal": self.seasonal, "holidays": holidays}
        (folder / "seasonal.json").write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        about = json.loads((folder / "seasonal.json").read_text(encoding="utf-8"))
        return cls(
            ProductEncoder.load(folder / "products"),
            UserEncoder.load(folder / "users"),
            CategoryEncoder.load(folder / "devices.parquet"),
            about["seasonal"],
            {name: Holiday(**given) for name, given in about["holidays"].items()},
        )


def _cover_a_year(times: pl.Series) -> bool:
    """Whether they span a year without a gap, such as a season's and the latest ones have."""
    days = np.unique(times.dt.epoch("us").to_numpy()) / 86_400e6
    return len(days) > 1 and bool(
        days[-1] - days[0] >= DAYS_PER_YEAR and np.diff(days).max() <= LONGEST_GAP_DAYS
    )


def with_all_features(requests: pl.DataFrame) -> pl.DataFrame:
    """The requests with every user feature; empty where the request came without."""
    there = set(requests.columns)
    missing = {
        name: column.dtype.type
        for name, column in USER_FEATURES.columns.items()
        if name not in there
    }
    if not missing:
        return requests
    return requests.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items())


def time_numbers(
    requests: pl.DataFrame, holidays: Mapping[str, Holiday], *, seasonal: bool
) -> NDArray[np.float32]:
    """(B, 7 + 2H) the time of each request.

    The season, and hour and weekday of users in a session, as circles; whether the user is in
    one; how near each of H holidays is, see ``features.holidays``.

    Args:
        requests: B requests.
        holidays: H holidays, none where it is not ``seasonal``.
        seasonal: whether the day of the year is shown.
    """
    second = requests[c.AS_OF].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    day = second // SECONDS_PER_DAY
    date = day.astype("datetime64[D]")
    day_of_year = (date - date.astype("datetime64[Y]")).astype(np.float64) + 1
    live = truths(requests[c.LIVE]).astype(np.float64)
    angles_and_shown = (
        (2 * np.pi * day_of_year / DAYS_PER_YEAR, np.full(len(live), float(seasonal))),
        (2 * np.pi * (second // 60 * 60 - day * SECONDS_PER_DAY) / SECONDS_PER_DAY, live),
        (2 * np.pi * ((day + FIRST_WEEKDAY - 1) % 7 + 1) / 7, live),
    )
    circles = [
        wave(angle) * shown for angle, shown in angles_and_shown for wave in (np.sin, np.cos)
    ]
    near = holiday_nearness(day.astype(np.int64), holidays)
    return np.concatenate([np.stack([*circles, live], axis=1), near], axis=1).astype(np.float32)


def history_tensors(queries: Queries, vocabulary: Vocabulary, most: int) -> HistoryTensors:
    """The newest ``most`` events of each query, those of known products."""
    stop = queries.offsets[1:]
    row, flat = ranges(np.maximum(queries.offsets[:-1], stop - most), stop)
    product = queries.products(vocabulary)[flat]
    known = product >= 0
    row, flat = row[known], flat[known]
    parts = product[known], queries.event_types[flat], np.log1p(queries.age_days[flat]), row
    return HistoryTensors(*(torch.from_numpy(part) for part in parts))
