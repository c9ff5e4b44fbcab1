from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.parts import (
    SORTED_BY,
    EventParts,
    borders_between,
    compact,
)

USERS = st.sampled_from(["a", "b", "B", "ä", "a-1", "z" * 20])


def table(users):
    times = [datetime(2025, 1, 1 + row % 2, tzinfo=UTC) for row in range(len(users))]
    schema = {c.USER_ID: pl.String, c.TIMESTAMP: pl.Datetime("us", "UTC"), c.SOURCE_ROW: pl.Int64}
    return pl.DataFrame([users, times, range(len(users))], schema=schema, strict=False)


@given(st.lists(USERS, min_size=1, max_size=20), st.lists(USERS, max_size=4, unique=True))
def test_parts_one_after_the_other_are_the_sorted_table(users, borders):
    events = table(users)
    borders = tuple(pl.Series(borders, dtype=pl.String).sort())
    parts = list(EventParts(events.lazy(), borders).ordered())
    assert pl.concat(parts).equals(events.sort(SORTED_BY))
    seen = [set(part[c.USER_ID]) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert all(seen)


def test_only_the_columns_asked_for_are_read():
    (part,) = EventParts(table(["b", "a"]).lazy()).parts([c.USER_ID])
    assert part.columns == [c.USER_ID]


@given(st.lists(USERS, min_size=1, max_size=20), st.integers(1, 30))
def test_borders_are_ascending_users_for_parts_of_the_size(users, rows_per_part):
    borders = borders_between(pl.Series(users), len(users), rows_per_part)
    assert list(borders) == list(pl.Series(borders, dtype=pl.String).unique().sort())
    assert set(borders) <= set(users)
    assert len(borders) < -(-len(users) // rows_per_part) or not borders
    largest = max(users.count(user) for user in users)
    for part in EventParts(table(users).lazy(), borders).parts():
        assert part.height < rows_per_part + largest


def test_no_events_are_one_part():
    assert borders_between(pl.Series([], dtype=pl.String), 0, 5) == ()


def test_what_is_compact_has_let_go_of_the_rest():
    few = pl.Series("x", [f"{n:040}" for n in range(1_000)]).gather([1, None, 3])
    assert compact(few).equals(few, check_names=True)
    assert compact(few).estimated_size() < 200
