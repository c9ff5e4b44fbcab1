from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.sessions import with_sessions

START = datetime(2025, 1, 1, tzinfo=UTC)


def events(rows):
    return pl.DataFrame(
        [(user, START + timedelta(minutes=minutes), session) for user, minutes, session in rows],
        schema={
            c.USER_ID: pl.String,
            c.TIMESTAMP: pl.Datetime("us", "UTC"),
            c.SESSION_ID: pl.String,
        },
        orient="row",
    )


def sessions(rows, gap=30.0):
    return with_sessions(events(rows), gap)[c.SESSION_ID].to_list()


def test_a_pause_longer_than_the_gap_starts_a_session():
    rows = [("a", 0, None), ("a", 30, None), ("a", 30 + 31, None)]
    assert sessions(rows) == ["a-1", "a-1", "a-2"]


def test_users_do_not_share_sessions():
    assert sessions([("a", 0, None), ("b", 1, None)]) == ["a-1", "b-1"]


def test_sessions_of_the_source_stay():
    rows = [("a", 0, None), ("a", 5, "s9"), ("a", 10, None)]
    assert sessions(rows) == ["a-1", "s9", "a-1"]


def test_sessions_of_the_source_do_not_shorten_a_pause():
    rows = [("a", 0, None), ("a", 20, "s9"), ("a", 40, None)]
    assert sessions(rows) == ["a-1", "s9", "a-2"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), min_size=1, max_size=20))
def test_within_a_session_no_pause_is_longer_and_between_sessions_each_is(pairs):
    table = with_sessions(events([(user, t, None) for user, t in sorted(pairs)]), 30)
    pause = pl.col(c.TIMESTAMP).diff().over(c.USER_ID)
    same = pl.col(c.SESSION_ID) == pl.col(c.SESSION_ID).shift().over(c.USER_ID)
    pauses = table.select(pause=pause, same=same).drop_nulls()

    assert (pauses.filter("same")["pause"] <= timedelta(minutes=30)).all()
    assert (pauses.filter(~pl.col("same"))["pause"] > timedelta(minutes=30)).all()
