from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.metrics.slices import headline_truth, history_group, history_lengths

CUT = datetime(2024, 3, 1, tzinfo=UTC)
EVENTS = pl.DataFrame(
    {
        c.USER_ID: ["old", "old", "new"],
        c.TIMESTAMP: [CUT - timedelta(days=1), CUT - timedelta(microseconds=1), CUT],
    }
)
TRUTH = pl.DataFrame({c.USER_ID: ["old", "old", "new"], c.PRODUCT_ID: ["a", "b", "a"]})


def test_the_history_ends_strictly_before_the_cut():
    assert history_lengths(TRUTH, EVENTS, CUT).rows() == [("new", 0), ("old", 2)]


def test_users_without_any_event_before_the_cut_are_not_in_the_headline():
    assert headline_truth(TRUTH, EVENTS, CUT).rows() == [("old", "a"), ("old", "b")]


@pytest.mark.parametrize(
    ("length", "group"), [(0, "0"), (1, "1"), (2, "2-5"), (5, "2-5"), (6, "6+"), (900, "6+")]
)
def test_history_groups(length, group):
    assert pl.select(history_group(pl.lit(length))).item() == group
