from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.queries import CONTEXT_COLUMNS, Queries, build_queries, event_type_codes
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

MICROSECOND = timedelta(microseconds=1)


def requests_of(*rows):
    return pl.DataFrame(rows, {c.USER_ID: pl.String, c.AS_OF: UTC_TIME}, orient="row")


def histories(queries):
    return [queries.slice(q, q + 1).history[c.PRODUCT_ID].to_list() for q in range(len(queries))]


@pytest.fixture(scope="module")
def events(make_events):
    return make_events(
        ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 2), ("ben", "d", 1), ("ann", "e", 3),
    )  # fmt: skip


def test_the_history_is_strictly_before_the_query(events, day):
    requests = requests_of(("ann", day(2)), ("ann", day(2) + MICROSECOND), ("ann", day(1)))
    assert histories(build_queries(events, requests)) == [["a"], ["a", "b", "c"], []]


def test_each_request_has_its_own_history_in_the_order_of_the_requests(events, day):
    requests = requests_of(("cy", day(9)), ("ben", day(9)), ("ann", day(3)), ("ben", day(1)))
    queries = build_queries(events, requests)
    assert histories(queries) == [[], ["d"], ["a", "b", "c"], []]
    assert queries.requests[c.USER_ID].to_list() == ["cy", "ben", "ann", "ben"]
    assert queries.rows.tolist() == [1, 2, 2, 2]
    np.testing.assert_allclose(queries.age_days, [9 - 1, 3 - 1, 3 - 2, 3 - 2])


def test_events_of_one_time_keep_the_order_of_the_source(make_events, day):
    tied = make_events(*(("ann", f"p{number:04}", 1) for number in range(500)))
    shuffled = tied.sample(fraction=1, shuffle=True, seed=3)
    history = build_queries(shuffled, requests_of(("ann", day(2)))).history
    assert history[c.PRODUCT_ID].to_list() == tied[c.PRODUCT_ID].to_list()


def test_context_that_is_not_given_is_empty(events, day):
    asked = requests_of(("ann", day(2))).with_columns(pl.lit("phone").alias(c.DEVICE_TYPE))
    requests = build_queries(events, asked).requests
    assert requests[c.DEVICE_TYPE].to_list() == ["phone"]
    for name in set(CONTEXT_COLUMNS) - {c.DEVICE_TYPE}:
        assert requests[name].to_list() == [None]
        assert requests.schema[name] == CONTEXT_COLUMNS[name]


def test_no_requests(events):
    queries = build_queries(events, requests_of())
    assert len(queries) == 0
    assert queries.offsets.tolist() == [0]
    assert list(queries.batches(5)) == []


@given(size=st.integers(1, 9), users=st.lists(st.sampled_from(["ann", "ben", "cy"]), max_size=7))
def test_batches_are_the_whole(events, day, size, users):
    requests = requests_of(*((user, day(1 + place % 4)) for place, user in enumerate(users)))
    queries = build_queries(events, requests)
    batches = list(queries.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert [each for batch in batches for each in histories(batch)] == histories(queries)
    asked = [user for batch in batches for user in batch.requests[c.USER_ID]]
    assert asked == users
    ages = [age for batch in batches for age in batch.age_days]
    assert ages == queries.age_days.tolist()


def test_a_slice_may_end_past_the_end(events, day):
    queries = build_queries(events, requests_of(("ann", day(9)), ("ben", day(9))))
    assert histories(queries.slice(1, 99)) == [["d"]]


def test_seen_counts_once_and_only_the_given_types(make_events, day):
    events = make_events(
        ("ann", "a", 1), ("ann", "a", 2), ("ann", "b", 1, c.CLICK), ("ann", "gone", 1),
        ("ben", "a", 1), ("ben", "b", 5),
    )  # fmt: skip
    queries = build_queries(events, requests_of(("ann", day(4)), ("ben", day(4))))
    seen = queries.seen(Vocabulary.fit(["a", "b"]), [c.PURCHASE])
    assert seen.tolist() == [[1, 0], [1, 0]]


def test_a_profile_feature_that_is_not_there_is_unknown(events, day):
    requests = requests_of(("ann", day(2)), ("ben", day(2)))
    queries = build_queries(events, requests.with_columns(pl.Series("visits", [3, None])))
    np.testing.assert_array_equal(queries.profile("visits"), [3, np.nan])
    np.testing.assert_array_equal(queries.profile("other"), [np.nan, np.nan])


def test_save_and_load(events, day, tmp_path):
    requests = requests_of(("cy", day(9)), ("ann", day(3))).with_columns(visits=pl.Series([1, 2]))
    queries = build_queries(events, requests)
    queries.save(tmp_path / "folder" / "queries")
    loaded = Queries.load(tmp_path / "folder" / "queries")
    assert loaded.requests.equals(queries.requests)
    assert loaded.history.equals(queries.history)
    assert loaded.offsets.tolist() == queries.offsets.tolist()
    assert loaded.offsets.dtype == np.int64


def test_event_types_have_their_place_and_no_other_is_let_in():
    codes = event_type_codes(pl.Series(list(c.EVENT_TYPES[::-1])))
    assert codes.tolist() == list(range(len(c.EVENT_TYPES)))[::-1]
    for many in (1, 20_000):  # a dictionary for few, an expression for many
        with pytest.raises(ValueError, match="unknown event type 'poke'; known are product_view"):
            event_type_codes(pl.Series([*[c.PURCHASE] * many, "poke"]))
