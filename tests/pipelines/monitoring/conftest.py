"""A shop with eight days of serving, made in a second; the last day can be spoilt."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.pipelines.monitoring.options import MonitoringOptions
from recsys_kedro.schemas import EVENTS, IMPRESSIONS, PRODUCTS, SERVED_INPUTS
from recsys_kedro.schemas import USERS as USERS_TABLE
from recsys_kedro.splits import TimeSplit

FIRST = datetime(2025, 3, 3, tzinfo=UTC)  # of the log
DAYS, USERS, PRODUCTS_SOLD, PLACES, ANSWERS = 8, 40, 30, 5, 60
LAST = FIRST + timedelta(days=DAYS - 1)
MINUTE = timedelta(minutes=1)
PRICES = {f"p{number}": 5.0 + number for number in range(PRODUCTS_SOLD)}
SPLIT = TimeSplit(
    validation_start=LAST - timedelta(days=14),
    test_start=LAST - timedelta(days=7),
    end=LAST,
    as_of=LAST,
    horizon_days=7,
    target_event_types=(c.PURCHASE,),
)


@dataclass(frozen=True)
class Plant:
    """What is different on the last day."""

    ctr: float = 0.2
    price_factor: float = 1.0
    served_price_factor: float = 1.0
    forget_every: int = 10**9
    latency_ms: float = 20.0
    fallback: str | None = None
    feature: tuple[str, object] | None = None


@dataclass(frozen=True)
class Log:
    """The inputs of the pipeline, by the names of the catalog."""

    events: pl.DataFrame
    products: pl.DataFrame
    impressions: pl.DataFrame
    served_inputs: pl.DataFrame
    user_features: pl.DataFrame
    product_features: pl.DataFrame
    split: TimeSplit = SPLIT

    @property
    def ingestion_report(self):
        return {"rows_read": self.events.height, "excluded": {}, "rejected": {}}


def table(schema, rows):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


def event(user, product, time, kind, price, answer=None):
    return {
        c.EVENT_TYPE: kind,
        c.USER_ID: user,
        c.PRODUCT_ID: product,
        c.TIMESTAMP: time,
        c.SESSION_ID: f"{user}-{time:%m%d}",
        c.DEVICE_TYPE: "mobile",
        c.PRICE: price,
        c.QUANTITY: 1.0,
        c.RECOMMENDATION_ID: answer,
    }


def impression(answer, user, time, place, product, plant, seen):
    return {
        c.RECOMMENDATION_ID: answer,
        c.USER_ID: user,
        c.TIMESTAMP: time,
        c.DEVICE_TYPE: "mobile" if int(user[1:]) % 3 else "desktop",
        c.POSITION: place + 1,
        c.PRODUCT_ID: product,
        c.SCORE: 1.0 / (place + 1),
        c.PROPENSITY: 1.0,
        c.SOURCE: "neighbours" if place % 2 else "history",
        c.MODEL: "hybrid",
        c.MODEL_VERSION: "3",
        c.VARIANTS: [],
        c.FALLBACK: plant.fallback,
        c.FROM_CACHE: False,
        c.LATENCY_MS: plant.latency_ms,
        c.HISTORY_LENGTH: seen,
    }


def served(answer, user, time, history, plant):
    kept = [row for place, row in enumerate(history, start=1) if place % plant.forget_every]
    return {
        c.RECOMMENDATION_ID: answer,
        c.USER_ID: user,
        c.AS_OF: time,
        c.PRODUCT_ID: [row[c.PRODUCT_ID] for row in kept],
        c.EVENT_TYPE: [row[c.EVENT_TYPE] for row in kept],
        c.EVENT_TIME: [row[c.TIMESTAMP] for row in kept],
        c.PRICE: [row[c.PRICE] * plant.served_price_factor for row in kept],
        c.SENT: 0,
    }


def make_log(plant):
    rng = np.random.default_rng(5)
    events, shown, inputs = [], [], []
    for number in range(400):  # the weeks before the log
        product = f"p{rng.integers(PRODUCTS_SOLD)}"
        kind = c.PURCHASE if number % 4 == 0 else c.CLICK
        time = FIRST - timedelta(days=28) * rng.random()
        events.append(event(f"u{rng.integers(USERS)}", product, time, kind, PRICES[product]))
    events.sort(key=lambda row: row[c.TIMESTAMP])
    for number in range(DAYS * ANSWERS):
        day, of_day = divmod(number, ANSWERS)
        today = plant if day == DAYS - 1 else Plant()
        time = FIRST + timedelta(days=day) + of_day * 20 * MINUTE
        user, answer = f"u{rng.integers(USERS)}", f"r{number:03}"
        history = [row for row in events if row[c.USER_ID] == user]
        inputs.append(served(answer, user, time, history, today))
        for place, code in enumerate(rng.permutation(PRODUCTS_SOLD)[:PLACES]):
            product = f"p{code}"
            shown.append(impression(answer, user, time, place, product, today, len(history)))
            if rng.random() < today.ctr * (1.5 - 0.2 * place):
                paid = PRICES[product] * today.price_factor
                later = time + (2 + place) * MINUTE
                events.append(event(user, product, later, c.CLICK, paid, answer))
                if rng.random() < 0.3:
                    events.append(event(user, product, later + MINUTE, c.PURCHASE, paid, answer))
        events.sort(key=lambda row: row[c.TIMESTAMP])
    return with_features(events, shown, inputs, plant)


def with_features(events, shown, inputs, plant):
    numbered = [{**row, c.SOURCE_ROW: place} for place, row in enumerate(events)]
    events = table(EVENTS, numbered).sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    products = table(
        PRODUCTS,
        [
            {c.PRODUCT_ID: name, c.PRICE: price, c.CATEGORY: f"c{int(price) % 4}"}
            for name, price in PRICES.items()
        ],
    )
    users = table(USERS_TABLE, [{c.USER_ID: f"u{number}"} for number in range(USERS)])
    lazy = [nw.from_native(each.lazy()) for each in (events, products, users)]
    of_users = user_features(*lazy, SPLIT.as_of, FeatureOptions()).collect().to_native()
    of_products = product_features(*lazy[:2], SPLIT.as_of, FeatureOptions()).collect().to_native()
    profiles = {row.pop(c.USER_ID): row for row in of_users.iter_rows(named=True)}
    for row in inputs:
        profile = profiles[row[c.USER_ID]]
        if plant.feature and row[c.AS_OF] >= LAST:
            profile = profile | dict([plant.feature])
        row[c.PROFILE] = json.dumps(profile)
    return Log(
        events,
        products,
        table(IMPRESSIONS, shown),
        table(SERVED_INPUTS, inputs),
        of_users,
        of_products,
    )


@pytest.fixture(scope="session")
def plant():
    """Makes a log whose last day differs as given."""
    return cache(lambda **different: make_log(Plant(**different)))


@pytest.fixture(scope="session")
def options():
    """The days of the log before the last are the reference; bounds as in the configuration."""

    def options(**different):
        thresholds = {
            "ctr": {"minimum": 200, "warning": {"fall": 0.2}, "alert": {"fall": 0.4}},
            "latency_p99": {"minimum": 50, "warning": {"above": 80}, "alert": {"above": 100}},
            "psi": {"minimum": 50, "warning": {"above": 0.5}, "alert": {"above": 1.0}},
            "price_difference_share": {"minimum": 50, "alert": {"above": 0.01}},
            "missing_event_share": {"minimum": 50, "alert": {"above": 0.01}},
            "feature_difference_share": {"minimum": 50, "alert": {"above": 0.01}},
        }
        given = {"reference_days": DAYS - 1, "as_of": LAST + timedelta(days=1)}
        return MonitoringOptions(**{**given, "thresholds": thresholds, **different})

    return options
