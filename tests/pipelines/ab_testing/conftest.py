"""The log of a shop that ran an experiment with a planted lift."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.assignment import choose_variant
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.pipelines.ab_testing.options import AbTestingOptions
from recsys_kedro.schemas import EVENTS, IMPRESSIONS, PRODUCTS, UTC_TIME, VARIANTS

START = datetime(2025, 3, 3, tzinfo=UTC)
DAYS, PAST_DAYS, LIST = 21, 14, 4
END = START + timedelta(days=DAYS)
SOLD = np.arange(60)
TABLES = {
    table.name: {name: column.dtype.type for name, column in table.columns.items()}
    for table in (IMPRESSIONS, EVENTS, PRODUCTS)
}


@dataclass(frozen=True)
class Habits:
    """What is true of the shop.

    Attributes:
        users: who may come in the three weeks and the two before.
        visits: of a user in three weeks, on average; each is one answer.
        clicks: chance of a click on the first place; on the second half of it, and so on.
        carts, orders: chances per visit.
        lift: of these three chances in the treatments, as a share.
        lost: share of the treatments' users whom the log misses.
    """

    users: int = 3_000
    visits: float = 4.0
    clicks: float = 0.1
    carts: float = 0.3
    orders: float = 0.12
    lift: float = 0.0
    lost: float = 0.0


@dataclass(frozen=True)
class ShopLog:
    """The tables of a shop that ran an experiment."""

    impressions: pl.DataFrame
    events: pl.DataFrame
    products: pl.DataFrame


def declare(*treatments: str) -> Experiments:
    """The experiment ``ranker``: ``old`` against the treatments, equal shares, three weeks."""
    variants = {"old": {}} | {name: {"ranking": {"diversity": 0.5}} for name in treatments}
    period = {"start": START, "end": END}
    experiment = {**period, "control": "old", "variants": variants}
    return Experiments.model_validate(
        {"layers": {"ranking": {"experiments": {"ranker": experiment}}}}
    )


def simulate_log(habits: Habits, experiments: Experiments) -> ShopLog:
    """Draw visits; how keen a user is was the same before the experiment."""
    rng = np.random.default_rng(0)
    names = np.array([f"u{number:05}" for number in range(habits.users)])
    experiment = experiments.named["ranker"]
    drawn = np.array([choose_variant("ranker", experiment, name) for name in names])
    treated = drawn != experiment.control
    keenness = rng.gamma(2, 1 / 2, habits.users)
    keenness[treated & (rng.random(habits.users) < habits.lost)] = 0
    visits = rng.poisson(habits.visits * keenness * (DAYS + PAST_DAYS) / DAYS)
    user = rng.permutation(np.repeat(np.arange(habits.users), visits))
    day = np.sort(rng.uniform(-PAST_DAYS, DAYS, len(user)))
    keen = keenness[user] * (1 + habits.lift * (treated[user] & (day >= 0)))
    table = pl.DataFrame(
        {
            c.RECOMMENDATION_ID: [f"r{number:06}" for number in range(len(day))],
            c.SESSION_ID: [f"s{number:06}" for number in range(len(day))],
            c.USER_ID: names[user],
            c.TIMESTAMP: _times(day),
            c.DEVICE_TYPE: np.where(user % 3 == 0, "mobile", "desktop"),
            c.HISTORY_LENGTH: user % 9,
            c.LATENCY_MS: rng.lognormal(2.5, 0.3, len(day)),
            c.VARIANTS: [
                [{c.EXPERIMENT: "ranker", c.VARIANT: variant}] if at >= 0 else []
                for variant, at in zip(drawn[user], day, strict=True)
            ],
        },
        schema_overrides={c.VARIANTS: VARIANTS},
    )
    shown = rng.permuted(np.tile(SOLD, (len(day), 1)), axis=1)[:, :LIST]
    clicked = rng.random(shown.shape) < habits.clicks * keen[:, None] / np.arange(1, LIST + 1)
    carted, bought = (
        rng.random(len(day)) < share * keen for share in (habits.carts, habits.orders)
    )
    prices = pl.DataFrame({c.PRODUCT_ID: _products(SOLD), c.PRICE: 10.0 + SOLD})
    return ShopLog(
        _impressions(table, shown),
        _events(table, shown, clicked, carted, bought),
        _whole("products", prices),
    )


def _times(days: np.ndarray) -> pl.Series:
    epoch = int(START.timestamp() * 1_000_000)
    return pl.Series(epoch + (days * 86_400_000_000).astype(np.int64)).cast(UTC_TIME)


def _products(numbers: np.ndarray) -> list[str]:
    return [f"p{number:02}" for number in numbers]


def _whole(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """With all columns of the table; those that are not there are empty."""
    types = TABLES[name]
    missing = [pl.lit(None).alias(column) for column in types if column not in frame.columns]
    return frame.with_columns(missing).select(list(types)).cast(types)


def _impressions(visits: pl.DataFrame, shown: np.ndarray) -> pl.DataFrame:
    constants = {
        c.POSITION: pl.lit(list(range(1, LIST + 1))),
        c.PROPENSITY: 1.0,
        c.SOURCE: pl.lit("model"),
        c.MODEL: pl.lit("hybrid"),
        c.MODEL_VERSION: pl.lit("1"),
        c.FROM_CACHE: False,
    }
    lists = pl.Series(c.PRODUCT_ID, [_products(row) for row in shown])
    rows = visits.with_columns(lists, **constants).explode(c.POSITION, c.PRODUCT_ID)
    return _whole("impressions", rows)


def _events(
    visits: pl.DataFrame,
    shown: np.ndarray,
    clicked: np.ndarray,
    carted: np.ndarray,
    bought: np.ndarray,
) -> pl.DataFrame:
    """A page, the clicks with the answer's id, and carts and purchases of the first product."""
    at = np.arange(len(shown))
    on, place = np.nonzero(clicked)
    parts = [
        (c.PRODUCT_VIEW, at, shown[:, 0], 1, False),
        (c.CLICK, on, shown[on, place], 2, True),
        (c.ADD_TO_CART, at[carted], shown[carted, 0], 3, False),
        (c.PURCHASE, at[bought], shown[bought, 0], 4, False),
    ]
    columns = [c.USER_ID, c.SESSION_ID, c.TIMESTAMP, c.RECOMMENDATION_ID, c.DEVICE_TYPE]
    frames = [
        visits[rows]
        .select(columns)
        .with_columns(
            pl.col(c.TIMESTAMP) + timedelta(minutes=minutes),
            pl.when(linked).then(c.RECOMMENDATION_ID).alias(c.RECOMMENDATION_ID),
            pl.Series(c.PRODUCT_ID, _products(products), pl.String),
            pl.lit(kind).alias(c.EVENT_TYPE),
            pl.lit(1.0).alias(c.QUANTITY),
        )
        for kind, rows, products, minutes, linked in parts
    ]
    events = pl.concat(frames).sort(c.USER_ID, c.TIMESTAMP).with_row_index(c.SOURCE_ROW)
    return _whole("events", events)


@pytest.fixture(scope="session")
def simulated():
    """``simulated(treatments=…, **habits)``: the declarations and the log of a shop."""

    @cache
    def simulate(treatments: tuple[str, ...] = ("new",), **habits: float):
        experiments = declare(*treatments)
        return experiments, simulate_log(Habits(**habits), experiments)

    return simulate


@pytest.fixture(scope="session")
def end():
    """Of the experiment."""
    return END


@pytest.fixture(scope="session")
def options():
    """``options(plan…)``: the plan of ``ranker``; for a shop of this size."""

    def make(**plan) -> AbTestingOptions:
        guardrails = (
            {"metric": "latency", "relative_margin": 0.1},
            {"metric": "failure_share", "absolute_margin": 0.01},
        )
        whole = {"planned_units": 3_000, "guardrails": guardrails} | plan
        return AbTestingOptions(
            plans={"ranker": whole}, min_segment_users=300, coverage_batch_users=5
        )

    return make
