import pytest
import redis

from recsys_kedro.serving.materialisation import materialise, records
from recsys_kedro.serving.redis_link import connect
from recsys_kedro.serving.user_record import events_key, micros, user_key


@pytest.mark.parametrize("batch_users", [1, 2, 3, 100])
def test_everybody_is_written_once_whatever_the_batch(client, snapshot, strange, batch_users):
    report = materialise(client, "corner", snapshot, batch_users, ttl_days=2)
    keys = {user_key("corner", user) for user in ("ann", strange, "zoe", "pat")}
    assert set(client.scan_iter("recsys:corner:*")) == keys
    assert report.users == report.written == 4
    assert report.bytes == sum(client.strlen(key) for key in keys)
    assert report.refusals == {}
    assert report.as_of == snapshot.as_of
    for key in keys:
        assert 0 < client.pttl(key) <= 2 * 86_400_000


def test_recent_events_before_the_snapshot_go(client, snapshot, day):
    key = events_key("corner", "ann")
    at = micros(day(100))
    client.zadd(key, {b"before": at - 1, b"at": at, b"after": at + 1})
    materialise(client, "corner", snapshot, 10, ttl_days=2)
    assert client.zrange(key, 0, -1) == [b"at", b"after"]


def test_users_of_other_shops_stay_as_they_are(client, snapshot):
    client.set("recsys:corner2:user:ann", b"theirs", px=60_000)
    materialise(client, "corner", snapshot, 10, ttl_days=2)
    assert client.get("recsys:corner2:user:ann") == b"theirs"


def test_snapshot_of_nobody(client, take_snapshot, make_events):
    report = materialise(client, "corner", take_snapshot(make_events()), 10, ttl_days=2)
    assert (report.users, report.written) == (0, 0)


def test_tables_without_features(snapshot):
    """A shop need not have any."""
    bare = type(snapshot)(
        snapshot.histories, snapshot.profiles.select("user_id"), snapshot.products, snapshot.as_of
    )
    ids = bare.profiles["user_id"].append(bare.histories["user_id"]).unique().sort()
    assert [user for user, _ in records(bare, ids)] == ids.to_list()


def test_full_redis_refuses_and_is_told_apart(redis_server, take_snapshot, make_events):
    redis_server.start("--maxmemory-policy", "noeviction")
    users = [(f"u{number:04}", "cup", day) for number in range(2_000) for day in range(5)]
    with connect(redis_server.url, 5.0) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 500_000)
        report = materialise(client, "corner", take_snapshot(make_events(*users)), 100, ttl_days=2)
        assert 0 < report.written < report.users == 2_000
        ((reason, count),) = report.refusals.items()
        assert "maxmemory" in reason
        assert report.written + count == 2_000
        assert client.dbsize() == report.written
        assert client.get(user_key("corner", "u0000"))


def test_redis_that_is_down_is_an_error(redis_server, snapshot):
    with (
        connect(redis_server.url, 0.1) as client,
        pytest.raises(redis.ConnectionError, match=f"127.0.0.1:{redis_server.port}"),
    ):
        materialise(client, "corner", snapshot, 10, ttl_days=2)
