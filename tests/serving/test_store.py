from dataclasses import replace
from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from recsys_kedro.serving.snapshot import NO_HISTORY
from recsys_kedro.serving.store import NOBODY, SnapshotStore, UserContent, UserState


@pytest.fixture
def store(snapshot):
    return SnapshotStore(snapshot)


def test_one_state_per_user_in_their_order(store, snapshot, strange):
    states = store.fetch([strange, "nobody", "ann", strange])
    assert [state.user_id for state in states] == [strange, "nobody", "ann", strange]
    for state in states:
        assert_frame_equal(state.history, snapshot.history(state.user_id))
        assert state.profile == snapshot.profile(state.user_id)
        assert state.degraded is None
        assert state.slot is None


def test_nothing_is_known_of_users_without_events_and_profile(store):
    pat, nobody, other = store.fetch(["pat", "nobody", "other"])
    assert nobody.token == other.token == NOBODY
    assert_frame_equal(nobody.history, NO_HISTORY)
    assert pat.token != NOBODY
    assert_frame_equal(pat.history, NO_HISTORY)


def test_token_tells_users_and_snapshots_apart(store, snapshot):
    later = SnapshotStore(replace(snapshot, as_of=snapshot.as_of + timedelta(microseconds=1)))
    ann, again, zoe = store.fetch(["ann", "ann", "zoe"])
    assert ann.token == again.token
    assert len({ann.token, zoe.token, later.fetch(["ann"])[0].token}) == 3


def test_content_is_read_once_and_only_when_somebody_looks():
    reads = []

    def read():
        reads.append(1)
        return UserContent(NO_HISTORY, {"views": 1}, "tired")

    state = UserState("ann", b"token", read)
    assert reads == []
    assert (state.profile, state.degraded, state.history.height) == ({"views": 1}, "tired", 0)
    assert reads == [1]
