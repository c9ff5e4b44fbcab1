"""Feature tables to arrays that a model takes: fitted as of a cut, saved with the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.encoding import (
    CategoryEncoder,
    NumberEncoder,
    Tokens,
    hash_words,
    logs,
    truths,
)
from recsys_kedro.features.options import EncoderOptions

PRODUCT_NUMBERS: Final = (
    c.PRICE,
    f.VIEWS_1D,
    f.VIEWS_7D,
    f.VIEWS_30D,
    f.PURCHASES_1D,
    f.PURCHASES_7D,
    f.PURCHASES_30D,
    f.PURCHASES_ALL_TIME,
    f.RETURNS_30D,
    f.CONVERSION_RATE,
    f.TRENDING_SCORE,
    f.REVENUE_30D,
    f.DAYS_SINCE_LAST_PURCHASE,
    f.PRODUCT_AGE_DAYS,
    f.IN_STOCK,
)
PRODUCT_MAY_MISS: Final = (c.PRICE, f.PRODUCT_AGE_DAYS)
USER_PRICES: Final = (f.AVG_PURCHASE_PRICE, f.MEDIAN_PURCHASE_PRICE, f.PRICE_STD)
USER_NUMBERS: Final = (
    f.TOTAL_VIEWS,
    f.TOTAL_CLICKS,
    f.TOTAL_ADD_TO_CART,
    f.TOTAL_PURCHASES,
    f.TOTAL_RETURNS,
    f.CLICK_THROUGH_RATE,
    f.PURCHASE_RATE,
    *USER_PRICES,
    f.HOUR_CONCENTRATION,
    f.AVG_SESSION_LENGTH,
    f.AVG_PRODUCTS_PER_SESSION,
    f.DAYS_SINCE_LAST_VISIT,
    f.ACCOUNT_AGE_DAYS,
)
USER_MAY_MISS: Final = (f.AVG_PURCHASE_PRICE,)
CATEGORY_FILE: Final = "category.parquet"
SUBCATEGORY_FILE: Final = "subcategory.parquet"
BRAND_FILE: Final = "brand.parquet"
SEGMENT_FILE: Final = "segment.parquet"
NUMBERS_FILE: Final = "numbers.json"
OPTIONS_FILE: Final = "options.json"


@dataclass(frozen=True)
class ProductArrays:
    """N products. Indices are int64, the rest float32.

    Attributes:
        category_index, subcategory_index, brand_index: (N,) 0 missing, 1 unknown.
        numbers: (N, C) standard scores and missing flags, see ``ProductEncoder.numbers.names``.
        price: (N,) shop's currency, NaN where unknown; for features of a user-product pair.
        words: the hashed words of the names, packed.
    """

    category_index: NDArray[np.int64]
    subcategory_index: NDArray[np.int64]
    brand_index: NDArray[np.int64]
    numbers: NDArray[np.float32]
    price: NDArray[np.float32]
    words: Tokens


@dataclass(frozen=True)
class ProductEncoder:
    """What turns rows of ``product_features`` or ``product_snapshots`` into arrays."""

    category: CategoryEncoder
    subcategory: CategoryEncoder
    brand: CategoryEncoder
    numbers: NumberEncoder
    options: EncoderOptions

    @classmethod
    def fit(cls, features: pl.DataFrame, options: EncoderOptions) -> Self:
        """Learn from product features (or snapshots) as of the cut or earlier."""
        return cls(
            category=CategoryEncoder.fit(features[c.CATEGORY], options.min_count),
            subcategory=CategoryEncoder.fit(features[c.SUBCATEGORY], options.min_count),
            brand=CategoryEncoder.fit(features[c.BRAND], options.min_count),
            numbers=NumberEncoder.fit(features, PRODUCT_NUMBERS, PRODUCT_MAY_MISS),
            options=options,
        )

    def transform(self, features: pl.DataFrame) -> ProductArrays:
        """Arrays of the rows in their order; without a name column no product has words."""
        no_names = pl.Series(c.NAME, [None] * features.height, pl.String)
        return ProductArrays(
            category_index=self.category.transform(features[c.CATEGORY]),
            subcategory_index=self.subcategory.transform(features[c.SUBCATEGORY]),
            brand_index=self.brand.transform(features[c.BRAND]),
            numbers=self.numbers.transform(features),
            price=features[c.PRICE].fill_null(np.nan).cast(pl.Float32).to_numpy(),
            words=hash_words(
                features[c.NAME] if c.NAME in features.columns else no_names,
                self.options.text_buckets,
            ),
        )

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as Parquet and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.category.save(folder / CATEGORY_FILE)
        self.subcategory.save(folder / SUBCATEGORY_FILE)
        self.brand.save(folder / BRAND_FILE)
        self.numbers.save(folder / NUMBERS_FILE)
        (folder / OPTIONS_FILE).write_text(self.options.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(
            category=CategoryEncoder.load(folder / CATEGORY_FILE),
            subcategory=CategoryEncoder.load(folder / SUBCATEGORY_FILE),
            brand=CategoryEncoder.load(folder / BRAND_FILE),
            numbers=NumberEncoder.load(folder / NUMBERS_FILE),
            options=EncoderOptions.model_validate_json(
                (folder / OPTIONS_FILE).read_text(encoding="utf-8")
            ),
        )


@dataclass(frozen=True)
class UserArrays:
    """N users. Indices are int64, the rest float32.

    Attributes:
        segment_index: (N,) 0 missing, 1 unknown.
        category_index: (N, 5) the top categories in the product encoder's indices, 0 missing.
        hour_index, weekday_index: (N,) 0 without events, else the peak plus 1.
        numbers: (N, C) standard scores and missing flags, see ``UserEncoder.numbers.names``.
        price: (N,) mean purchase price, NaN where there is none; for features of a pair.
    """

    segment_index: NDArray[np.int64]
    category_index: NDArray[np.int64]
    hour_index: NDArray[np.int64]
    weekday_index: NDArray[np.int64]
    numbers: NDArray[np.float32]
    price: NDArray[np.float32]


@dataclass(frozen=True)
class UserEncoder:
    """What turns rows of ``user_features`` into arrays."""

    segment: CategoryEncoder
    category: CategoryEncoder
    numbers: NumberEncoder

    @classmethod
    def fit(cls, features: pl.DataFrame, products: ProductEncoder, options: EncoderOptions) -> Self:
        """Learn from user features as of the cut; categories are those of ``products``."""
        return cls(
            CategoryEncoder.fit(features[f.USER_SEGMENT], options.min_count),
            products.category,
            NumberEncoder.of_logs(_user_logs(features), USER_NUMBERS, USER_MAY_MISS),
        )

    def transform(self, features: pl.DataFrame) -> UserArrays:
        """Arrays of the rows in their order."""
        top = [self.category.transform(features[name]) for name in f.TOP_CATEGORIES]
        log_NC = _user_logs(features)
        return UserArrays(
            segment_index=self.segment.transform(features[f.USER_SEGMENT]),
            category_index=np.stack(top, axis=1),
            hour_index=features[f.PEAK_HOUR].to_numpy() - f.NO_PEAK,
            weekday_index=features[f.PEAK_DAY].to_numpy() - f.NO_PEAK,
            numbers=self.numbers.scores(log_NC),
            price=np.expm1(log_NC[:, USER_NUMBERS.index(f.AVG_PURCHASE_PRICE)]).astype(np.float32),
        )

    def profile_numbers(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """(N, C) the part of :meth:`transform` that is numbers."""
        return self.numbers.scores(_user_logs(features))

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` as Parquet and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.segment.save(folder / SEGMENT_FILE)
        self.category.save(folder / CATEGORY_FILE)
        self.numbers.save(folder / NUMBERS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        return cls(
            CategoryEncoder.load(folder / SEGMENT_FILE),
            CategoryEncoder.load(folder / CATEGORY_FILE),
            NumberEncoder.load(folder / NUMBERS_FILE),
        )


def _user_logs(features: pl.DataFrame) -> NDArray[np.float64]:
    """(N, C) ln(1 + x); prices that are 0 only because nothing was bought are missing, not low."""
    log_NC = logs(features, USER_NUMBERS)
    without = ~truths(features[f.HAS_PURCHASE_PRICE])
    prices = np.array([USER_NUMBERS.index(name) for name in USER_PRICES])
    log_NC[np.ix_(np.flatnonzero(without), prices)] = np.nan
    return log_NC
