"""A shop of six users and four products, small enough to score by hand."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.pipelines.evaluation.nodes import evaluate
from recsys_kedro.pipelines.evaluation.options import EvaluationOptions
from recsys_kedro.pipelines.evaluation.report import ReportContext
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.splits import TimeSplit

CUT = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class SmallShop:
    truth: pl.DataFrame
    recommendations: pl.DataFrame
    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    split: TimeSplit
    options: EvaluationOptions

    def evaluate(self, seed: int = 0) -> dict[str, Any]:
        return evaluate(
            self.truth,
            self.recommendations,
            self.events,
            self.products,
            self.users,
            self.split,
            self.options,
            seed,
        )

    def only_models(self, *models: str) -> "SmallShop":
        wanted = self.recommendations.filter(pl.col(c.MODEL).is_in(models))
        return replace(self, recommendations=wanted)


def frame(columns: list[str], *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, columns, orient="row")


def recommend(model: str, lists: dict[str, str], task: str = c.TASK_ALL) -> pl.DataFrame:
    """``{"u1": "abc"}``: the products of the user's list, one letter each."""
    rows = [
        (task, model, user, product, rank, 1.0 / rank)
        for user, products in lists.items()
        for rank, product in enumerate(products, start=1)
    ]
    names = [c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE]
    return frame(names, *rows)


@pytest.fixture(scope="session")
def split() -> TimeSplit:
    return TimeSplit(
        validation_start=CUT - 28 * DAY,
        test_start=CUT,
        end=CUT + 28 * DAY,
        as_of=CUT + 28 * DAY,
        horizon_days=28,
        target_event_types=(c.PURCHASE,),
    )


@pytest.fixture(scope="session")
def shop(split: TimeSplit) -> SmallShop:
    """u1 to u4 have a past (1, 2, 1 and 7 events), u5 has none; d was never taken."""
    past = [("u1", "a"), ("u2", "a"), ("u2", "b"), ("u3", "c"), *[("u4", "c")] * 7]
    events = [(user, product, c.PURCHASE, CUT - DAY) for user, product in past]
    events += [(user, "d", c.PURCHASE, CUT + DAY) for user in ("u1", "u5")]
    truth = [
        ("u1", "a"),
        ("u1", "d"),
        ("u2", "b"),
        ("u3", "c"),
        ("u4", "c"),
        ("u5", "d"),
    ]
    new = [("u1", "d"), ("u5", "d")]
    hybrid = {"u1": "ad", "u2": "ba", "u3": "cd", "u4": "ca", "u5": "da"}
    ease = {"u1": "ba", "u2": "ab", "u3": "ac", "u4": "bc", "u5": "ab"}
    popularity = dict.fromkeys(["u1", "u2", "u3", "u4"], "abcd")
    return SmallShop(
        truth=pl.concat(
            frame([c.TASK, c.USER_ID, c.PRODUCT_ID], *[(task, *row) for row in rows])
            for task, rows in ((c.TASK_ALL, truth), (c.TASK_NEW, new))
        ),
        recommendations=pl.concat(
            [
                recommend("hybrid", hybrid),
                recommend("ease", ease),
                recommend("popularity", popularity),
                recommend("hybrid", {"u1": "bd", "u5": "d"}, c.TASK_NEW),
                recommend("ease", {"u1": "db", "u5": "ab"}, c.TASK_NEW),
            ]
        ),
        events=pl.DataFrame(
            events,
            {
                c.USER_ID: pl.String,
                c.PRODUCT_ID: pl.String,
                c.EVENT_TYPE: pl.String,
                c.TIMESTAMP: UTC_TIME,
            },
            orient="row",
        ),
        products=pl.DataFrame(
            [("a", "toys", None), ("b", "toys", None), ("c", "bags", None), ("d", None, None)],
            {c.PRODUCT_ID: pl.String, c.CATEGORY: pl.String, c.CREATED_AT: UTC_TIME},
            orient="row",
        ),
        users=frame([c.USER_ID, c.SEGMENT], ("u1", "club"), ("u2", "club"), ("u3", "guest")),
        split=split,
        options=EvaluationOptions(resamples=200, min_segment_users=2),
    )


@pytest.fixture(scope="session")
def context(shop: SmallShop) -> ReportContext:
    return ReportContext(
        shop="corner_shop",
        split=shop.split,
        options=shop.options,
        seed=0,
        past_events=11,
        past_users=4,
        products=4,
    )
