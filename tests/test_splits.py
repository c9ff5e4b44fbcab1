from datetime import timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.queries import build_queries
from recsys_kedro.splits import (
    SplitOptions,
    TimeSplit,
    leave_last_out,
    make_time_split,
    targets_between,
    window_requests,
    window_truth,
)

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def daily(make_events):
    """One purchase a day for 60 days."""
    return make_events(*(("ann", f"p{number % 3}", number) for number in range(60)))


@pytest.fixture(scope="module")
def split(day):
    return TimeSplit(
        validation_start=day(40),
        test_start=day(50),
        end=day(60),
        as_of=day(60),
        horizon_days=10,
        target_event_types=(c.PURCHASE,),
    )


def pairs(truth, task):
    rows = truth.filter(pl.col(c.TASK) == task)
    return list(rows.select(c.USER_ID, c.PRODUCT_ID).iter_rows())


def test_the_windows_lie_end_to_end_before_as_of(daily, day):
    split = make_time_split(daily, day(60) + timedelta(hours=5), SplitOptions(horizon_days=10))
    assert split.test_start == day(60 - 10)
    assert split.validation_start == day(60 - 10 - 10)
    assert split.end == day(60)
    assert split.as_of == day(60) + timedelta(hours=5)
    assert split.horizon == timedelta(days=10)


def test_without_as_of_every_event_is_used(daily, day):
    split = make_time_split(daily, None, SplitOptions(horizon_days=10))
    assert split.as_of == day(59) + MICROSECOND
    assert split.end <= split.as_of


def test_a_test_window_that_is_cut_short_ends_at_as_of(daily, day):
    options = SplitOptions(test_start=day(55), horizon_days=10)
    split = make_time_split(daily, day(58), options)
    assert (split.test_start, split.end) == (day(55), day(58))


def test_purchases_are_targets_where_there_are_any(make_events, day):
    where = {"horizon_days": 3, "test_start": day(6)}
    kinds = (c.PRODUCT_VIEW, c.RETURN, c.CLICK)
    rows = [("ann", "a", number, kinds[number % 3]) for number in range(9)]
    visits = make_events(*rows)
    split = make_time_split(visits, day(9), SplitOptions(**where))
    assert split.target_event_types == (c.PRODUCT_VIEW, c.CLICK, c.ADD_TO_CART, c.PURCHASE)
    bought = make_events(*rows, *(("ann", "a", number) for number in range(9)))
    split = make_time_split(bought, day(9), SplitOptions(**where))
    assert split.target_event_types == (c.PURCHASE,)
    given = SplitOptions(**where, target_event_types=(c.CLICK,))
    assert make_time_split(bought, day(9), given).target_event_types == (c.CLICK,)


@pytest.mark.parametrize(
    ("test_start", "window"), [(5, "train"), (100, "validation and test"), (60, "test")]
)
def test_an_empty_window_is_named_with_what_to_do(daily, day, test_start, window):
    options = SplitOptions(test_start=day(test_start), horizon_days=10)
    with pytest.raises(ValueError, match=f"in the {window} window.*Set split.test_start or a"):
        make_time_split(daily, day(150), options)


def test_no_events_cannot_be_split(make_events):
    with pytest.raises(ValueError, match=r"the table is empty.*rejected_events"):
        make_time_split(make_events(), None, SplitOptions())


def test_a_window_begins_at_its_start_and_ends_before_its_end(make_events, split, day):
    events = make_events(
        ("ann", "before", 39.999), ("ann", "first", 40), ("ann", "last", 49.999),
        ("ann", "after", 50), ("ben", "twice", 41), ("ben", "twice", 42),
        ("ben", "looked at", 43, c.PRODUCT_VIEW),
    )  # fmt: skip
    truth = window_truth(events, day(40), day(50), split)
    expected = [("ann", "first"), ("ann", "last"), ("ben", "twice")]
    assert pairs(truth, c.TASK_ALL) == expected
    assert list(targets_between(events, day(40), day(50), split).iter_rows()) == expected


def test_new_leaves_out_what_the_user_took_before(make_events, split, day):
    events = make_events(
        ("ann", "a", 3), ("ann", "a", 41), ("ann", "b", 4, c.PRODUCT_VIEW), ("ann", "b", 41),
        ("ben", "b", 3), ("ben", "a", 44), ("ben", "a", 45),
    )  # fmt: skip
    truth = window_truth(events, day(40), day(50), split)
    assert pairs(truth, c.TASK_ALL) == [("ann", "a"), ("ann", "b"), ("ben", "a")]
    assert pairs(truth, c.TASK_NEW) == [("ann", "b"), ("ben", "a")]


def test_products_unseen_before_the_cut_stay_in_the_truth(make_events, split, day):
    events = make_events(("ann", "a", 3), ("ann", "unseen", 41))
    truth = window_truth(events, day(40), day(50), split)
    for task in c.TASKS:
        assert pairs(truth, task) == [("ann", "unseen")]


def test_everybody_in_the_truth_is_asked_once_at_the_start(make_events, split, day):
    events = make_events(("ben", "a", 41), ("ann", "a", 41), ("ann", "b", 42))
    requests = window_requests(window_truth(events, day(40), day(50), split), day(40))
    assert list(requests.iter_rows()) == [("ann", day(40)), ("ben", day(40))]


def test_the_lines_of_one_invoice_are_never_each_others_past(make_events, split, day):
    events = make_events(("ann", "a", 3), ("ann", "b", 40), ("ann", "c", 40), ("ann", "d", 40))
    truth = window_truth(events, day(40), day(50), split)
    assert pairs(truth, c.TASK_ALL) == [("ann", "b"), ("ann", "c"), ("ann", "d")]
    history = build_queries(events, window_requests(truth, day(40))).history
    assert history[c.PRODUCT_ID].to_list() == ["a"]


def test_leaving_the_last_out(make_events):
    events = make_events(
        ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 3), ("ben", "d", 1), ("ben", "e", 2),
        ("cy", "f", 1),
    )  # fmt: skip
    past, last = leave_last_out(events)
    assert past[c.PRODUCT_ID].to_list() == ["a", "b", "d", "f"]
    assert last[c.PRODUCT_ID].to_list() == ["c", "e"]


def test_leaving_two_out_gives_the_validation_target(make_events):
    events = make_events(
        ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 3), ("ben", "d", 1), ("ben", "e", 2),
    )  # fmt: skip
    past, last = leave_last_out(events, held_out=2)
    assert past[c.PRODUCT_ID].to_list() == ["a", "d", "e"]
    assert last[c.PRODUCT_ID].to_list() == ["b"]
    assert past.columns == last.columns == events.columns


def test_of_one_time_the_last_in_the_source_is_left_out(make_events):
    tied = make_events(*(("ann", f"p{number:04}", 1) for number in range(2_000)))
    past, last = leave_last_out(tied.sample(fraction=1, shuffle=True, seed=5))
    assert last[c.PRODUCT_ID].to_list() == ["p1999"]
    assert past[c.PRODUCT_ID].to_list() == tied[c.PRODUCT_ID].to_list()[:-1]


def test_nothing_left_out_is_refused(daily):
    with pytest.raises(ValueError, match="held_out must be at least 1, not 0"):
        leave_last_out(daily, held_out=0)
