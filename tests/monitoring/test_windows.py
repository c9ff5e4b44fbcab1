from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.monitoring.windows import Window, last_windows

DAY = timedelta(days=1)


def test_windows_go_back_from_as_of(hour):
    windows = last_windows(hour(0), hour(3 * 24), DAY, 2 * DAY)
    assert windows.latest == (hour(48), hour(72))
    assert windows.reference == (hour(0), hour(48))
    assert windows.all == ((hour(0), hour(24)), (hour(24), hour(48)), (hour(48), hour(72)))


def test_a_window_that_begins_before_the_log_is_left_out(hour):
    windows = last_windows(hour(1), hour(3 * 24), DAY, 2 * DAY)
    assert windows.earlier == ((hour(24), hour(48)),)
    assert last_windows(hour(60), hour(72), DAY, 2 * DAY).all == (windows.latest,)


def test_the_end_is_not_part_of_a_window(hour):
    rows = pl.DataFrame({c.TIMESTAMP: [hour(-1), hour(0), hour(23.9), hour(24)]})
    assert Window(hour(0), hour(24)).of(rows)[c.TIMESTAMP].to_list() == [hour(0), hour(23.9)]


@given(length=st.integers(1, 50), reference=st.integers(1, 300), first=st.integers(-400, 0))
def test_windows_are_adjacent_and_within_the_reference(hour, length, reference, first):
    windows = last_windows(
        hour(first), hour(0), timedelta(hours=length), timedelta(hours=max(reference, length))
    )
    pairs = zip(windows.all, windows.all[1:], strict=False)
    assert all(one.end == other.start for one, other in pairs)
    assert {each.end - each.start for each in windows.all} == {timedelta(hours=length)}
    assert windows.all[0].start >= min(windows.reference.start, windows.latest.start)
