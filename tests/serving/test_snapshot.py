import struct
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import HISTORY_COLUMNS
from recsys_kedro.serving.snapshot import (
    HISTORIES_FILE,
    MOST_STORED_EVENTS,
    NO_HISTORY,
    ServingSnapshot,
    remembered,
)


@pytest.fixture(params=["made", "loaded"])
def either(request, snapshot, tmp_path):
    """The snapshot as it was made, and as it comes back from its files."""
    if request.param == "made":
        return snapshot
    snapshot.save(tmp_path)
    return ServingSnapshot.load(tmp_path)


def test_history_is_sorted_by_time_and_then_by_source(either, strange):
    assert either.history("ann")[c.PRODUCT_ID].to_list() == ["cup", "pot", "cup"]
    assert either.history(strange)[c.PRODUCT_ID].to_list() == ["tea\n☕"]
    assert either.history("ann").schema == NO_HISTORY.schema
    assert tuple(NO_HISTORY.columns) == HISTORY_COLUMNS


def test_nothing_at_or_after_the_snapshots_time(either):
    assert either.history("zoe")[c.PRODUCT_ID].to_list() == ["cup"]


@pytest.mark.parametrize("nobody", ["", "a", "anna", "m", "zoe ", "🛒", "\x00"])
def test_unknown_users_before_between_and_after_the_known(either, nobody):
    assert_frame_equal(either.history(nobody), NO_HISTORY)
    assert not either.knows(nobody)
    assert either.profile(nobody) == {}


def test_known_is_who_has_an_event(either, strange):
    assert [either.knows(user) for user in ("ann", strange, "zoe", "pat")] == [True] * 3 + [False]


def test_profile_has_the_features_by_name(either, strange):
    # Ids sort by character: ann, strange, pat.
    assert either.profile("ann") == {
        f.TOTAL_VIEWS: 0,
        f.PRICE_STD: 0 / 7,
        f.HAS_PURCHASE_PRICE: True,
        f.USER_SEGMENT: None,
    }
    assert either.profile(strange)[f.PRICE_STD] == 1 / 7
    assert either.profile("pat")[f.USER_SEGMENT] == "gift ☕"


def test_profiles_of_users_in_their_order(either):
    table = either.profiles_of(["pat", "nobody", "ann", "pat"])
    assert table[c.USER_ID].to_list() == ["pat", "nobody", "ann", "pat"]
    assert table[f.TOTAL_VIEWS].to_list() == [2, None, 0, 2]
    assert table.schema == either.profiles.schema


def test_popular_is_what_can_be_sold(either):
    assert either.popular.columns == [c.PRODUCT_ID, c.CATEGORY, c.SCORE]
    assert either.popular.height == 4


def test_round_trip(snapshot, tmp_path):
    snapshot.save(tmp_path)
    loaded = ServingSnapshot.load(tmp_path)
    for table in ("histories", "profiles", "products"):
        assert_frame_equal(getattr(loaded, table), getattr(snapshot, table))
    assert loaded.as_of == snapshot.as_of


def test_loaded_tables_are_the_files_themselves(snapshot, tmp_path, strange):
    """What changes in the file changes in the table: it was mapped, not copied."""
    snapshot.save(tmp_path)
    loaded = ServingSnapshot.load(tmp_path)
    raw = (tmp_path / HISTORIES_FILE).read_bytes()
    with (tmp_path / HISTORIES_FILE).open("r+b") as file:
        file.seek(raw.index(struct.pack("<d", 7.25)))
        file.write(struct.pack("<d", 1.5))
    assert loaded.history(strange)[c.PRICE].to_list() == [1.5]


def test_snapshot_of_nobody(take_snapshot, make_events, tmp_path):
    take_snapshot(make_events()).save(tmp_path)
    loaded = ServingSnapshot.load(tmp_path)
    assert_frame_equal(loaded.history("ann"), NO_HISTORY)
    assert loaded.profiles_of(["ann"])[c.USER_ID].to_list() == ["ann"]


@given(data=st.lists(st.tuples(st.sampled_from(["", "a", "ab", "b", "é", "😀", "a\x00"]),
                               st.integers(0, 120)), max_size=30))  # fmt: skip
def test_history_is_what_a_filter_finds(take_snapshot, make_events, day, data):
    events = make_events(*((user, f"p{at}", at) for user, at in data))
    snapshot = take_snapshot(events)
    for user in {user for user, _ in data}:
        mine = events.filter(pl.col(c.USER_ID) == user, pl.col(c.TIMESTAMP) < day(100))
        expected = mine.sort(c.TIMESTAMP, c.SOURCE_ROW).select(HISTORY_COLUMNS)
        assert_frame_equal(snapshot.history(user), expected)


def past_of(make_events, rows):
    return make_events(*rows).select(c.USER_ID, *HISTORY_COLUMNS)


def test_of_older_events_only_the_last_purchase_of_each_product_is_kept(make_events):
    rows = [
        ("ann", "cup", 1),
        ("ann", "pot", 2, c.PRODUCT_VIEW),
        ("ann", "cup", 3),
        ("ann", "tea", 4),
        ("ann", "jar", 5, c.PRODUCT_VIEW),
        ("ann", "jar", 6, c.PRODUCT_VIEW),
        ("bob", "pot", 1, c.PRODUCT_VIEW),
    ]
    past = past_of(make_events, rows)
    assert_frame_equal(remembered(past, 2), past[[2, 3, 4, 5, 6]])
    assert_frame_equal(remembered(past, 6), past)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("pqr"),
            st.sampled_from([c.PURCHASE, c.PRODUCT_VIEW, c.RETURN]),
        ),
        max_size=30,
    ),
    st.integers(1, 8),
)
def test_what_was_bought_is_never_forgotten(make_events, events, most):
    rows = [(user, product, day, kind) for day, (user, product, kind) in enumerate(events)]
    past = past_of(make_events, sorted(rows))
    past = past.sort(c.USER_ID, c.TIMESTAMP)
    kept = remembered(past, most)
    bought = [
        table.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE).select(c.USER_ID, c.PRODUCT_ID)
        for table in (past, kept)
    ]
    assert set(bought[0].rows()) == set(bought[1].rows())
    for user in "ab":
        mine, of_all = (table.filter(pl.col(c.USER_ID) == user) for table in (kept, past))
        assert_frame_equal(mine.tail(most), of_all.tail(most))
        assert mine.height <= most + 3
        assert mine[c.TIMESTAMP].is_sorted()


def test_snapshot_is_capped(take_snapshot, make_events, day):
    views = [("ann", "cup", 2, c.PRODUCT_VIEW)] * (MOST_STORED_EVENTS + 5)
    history = take_snapshot(make_events(("ann", "pot", 1), *views)).history("ann")
    assert history.height == 1 + MOST_STORED_EVENTS
    assert history[c.TIMESTAMP][0] == day(2) - timedelta(days=1)
