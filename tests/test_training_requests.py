from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.splits import TimeSplit
from recsys_kedro.training_requests import LABEL_END, RequestOptions, training_requests

OPTIONS = RequestOptions()
MICROSECOND = pl.duration(microseconds=1)


@pytest.fixture
def split(day):
    """Nothing is known from the 70th day on."""
    return TimeSplit(
        validation_start=day(40),
        test_start=day(50),
        end=day(60),
        as_of=day(70),
        horizon_days=10,
        target_event_types=(c.PURCHASE,),
    )


@pytest.fixture
def ask(day, split):
    def ask(events, at=30, options=OPTIONS, seed=0):
        events = events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
        return training_requests(events, day(at), split, options, np.random.default_rng(seed))

    return ask


def rows(requests, *, live):
    asked = requests.filter(pl.col(c.LIVE) == live)
    return list(asked.select(c.USER_ID, c.AS_OF, LABEL_END).iter_rows())


def test_window_requests_ask_who_takes_something_within_the_horizon(make_events, ask, day):
    events = make_events(
        ("ann", "a", 1), ("ann", "a", 30), ("ben", "a", 1), ("ben", "a", 40),
        ("cy", "a", 1), ("cy", "b", 33, c.CLICK), ("dan", "a", 33), ("eve", "a", 1, c.CLICK),
        ("eve", "b", 39.9),
    )  # fmt: skip
    requests = ask(events)
    # Of dan nothing is known yet.
    expected = [(user, day(30), day(40)) for user in ("ann", "dan", "eve")]
    assert rows(requests, live=False) == expected
    assert requests[f.SNAPSHOT_TIME].unique().to_list() == [day(30)]


def test_a_window_that_is_not_over_has_no_requests(make_events, ask):
    events = make_events(("ann", "a", 1), ("ann", "a", 65))
    assert len(rows(ask(events, at=60), live=False)) == 1
    assert rows(ask(events, at=60.001), live=False) == []


def test_session_requests_ask_at_the_first_event_of_the_visit(make_events, ask, day):
    events = make_events(
        ("ann", "a", 1), ("ann", "b", 31, c.CLICK), ("ann", "b", 31.01),
        ("ann", "c", 31.02, c.CLICK), ("ann", "d", 33, c.CLICK), ("ben", "e", 32), ("ann", "e", 37),
    )  # fmt: skip
    events = events.with_columns(
        pl.format("{}-{}", c.USER_ID, pl.col(c.TIMESTAMP).dt.date()).alias(c.SESSION_ID),
        pl.when(pl.col(c.EVENT_TYPE) == c.CLICK)
        .then(pl.lit("phone"))
        .otherwise(pl.lit("desk"))
        .alias(c.DEVICE_TYPE),
    )
    requests = ask(events)
    end = events.filter(pl.col(c.SOURCE_ROW) == 3).select(pl.col(c.TIMESTAMP) + MICROSECOND).item()
    first_visit = ("ben", day(32), day(32) + timedelta(microseconds=1))
    assert rows(requests, live=True) == [("ann", day(31), end), first_visit]
    assert requests.filter(pl.col(c.LIVE))[c.DEVICE_TYPE].to_list() == ["phone", "desk"]


def test_the_visit_of_somebody_else_is_another_visit(make_events, ask):
    events = make_events(
        ("ann", "a", 1), ("ben", "a", 1), ("ann", "b", 31, c.CLICK), ("ben", "b", 32)
    ).with_columns(pl.lit("1").alias(c.SESSION_ID))
    asked = rows(ask(events), live=True)
    assert [user for user, *_ in asked] == ["ben"]


def test_a_visit_after_as_of_is_not_asked(make_events, ask, day):
    events = make_events(("ann", "a", 1), ("ann", "b", 69), ("ann", "c", 70), ("ann", "d", 71))
    asked = rows(ask(events, at=68), live=True)
    assert [as_of for _, as_of, _ in asked] == [day(69)]


def test_samples_are_drawn_by_the_seed(shop_events, ask):
    options = RequestOptions(window_queries=20, session_queries=30)
    first, again, other = (ask(shop_events, 30, options, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    assert first[c.LIVE].sum() == 30
    assert (~first[c.LIVE]).sum() == 20
    assert not first.is_duplicated().any()
    every = ask(shop_events, 30)
    assert first.join(every, on=[c.USER_ID, c.AS_OF, LABEL_END], how="anti").is_empty()


def test_nothing_taken_nothing_asked(make_events, ask):
    assert ask(make_events(("ann", "a", 1), ("ann", "a", 31, c.CLICK))).is_empty()
