import polars as pl
import pytest

from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION, LandingOptions


@pytest.fixture(scope="session")
def event():
    """Makes events that are sound, but for what is changed."""

    def event(**changes):
        return {
            "event_id": "e1",
            "event_type": "product_view",
            "user_id": "ann",
            "product_id": "cup",
            "timestamp": "2024-06-01T12:00:00Z",
        } | changes

    return event


@pytest.fixture
def options_for(broker, tmp_path):
    """Options that land a topic of the broker into the test's own folder."""

    def options_for(topic, **changes):
        usual = {
            "bootstrap_servers": broker.servers,
            "topic": topic,
            "folder": str(tmp_path / "landed"),
            "group": f"landing-{topic}",
            "timeout_s": 10,
        }
        return LandingOptions(**usual | changes)

    return options_for


@pytest.fixture(scope="session")
def landed():
    """Reads what lies in the files of a topic, in the order of the offsets."""

    def landed(options, kind=""):
        files = f"{options.folder}/{kind}topic={options.topic}/partition=*/offsets-*.parquet"
        rows = pl.read_parquet(files, hive_partitioning=False)
        return rows.sort(KAFKA_PARTITION, KAFKA_OFFSET)

    return landed
