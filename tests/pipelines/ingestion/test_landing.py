"""From a topic to the tables of the contract, in one run of the pipeline as it is configured."""

from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion import create_pipeline
from recsys_kedro.pipelines.ingestion.options import IngestionOptions
from recsys_kedro.settings import CONFIG_LOADER_ARGS
from recsys_kedro.streams.options import LandingOptions

CONF = Path(__file__).parents[3] / "conf"


def event(**changes):
    return {
        "event_type": "view",
        "user_id": "u1",
        "product_id": "p1",
        "timestamp": "2025-10-19T10:30:00Z",
        "context": {"category": "toys", "price": 2.5, "search_query": "bear"},
    } | changes


@pytest.fixture
def run(broker, tmp_path):
    """Runs the pipeline on a topic; all tables are kept in the test's own folder."""
    loader = OmegaConfigLoader(str(CONF), env="base", **CONFIG_LOADER_ARGS)
    catalog, parameters = loader["catalog"], loader["parameters"]

    def run(topic):
        landing = LandingOptions.model_validate(
            parameters["landing"]
            | {"bootstrap_servers": broker.servers, "topic": topic, "folder": str(tmp_path / "in")}
        )
        entries = {
            name: dict(catalog[name]) for name in create_pipeline().datasets() & set(catalog)
        }
        for entry in entries.values():
            if "filepath" in entry:
                entry["filepath"] = str(tmp_path / Path(entry["filepath"]).name)
        entries["raw_events"] = {
            "type": "recsys_kedro.datasets.tables.TableDataset",
            "filepath": f"{landing.folder}/topic={topic}/partition=*/offsets-*.parquet",
        }
        tables = DataCatalog.from_config(entries)
        tables["params:landing"] = landing
        tables["params:run_time"] = None
        tables["params:ingestion"] = IngestionOptions.model_validate(
            parameters["ingestion"] | {"shop": "of_the_contract", "max_rejected_share": 0.5}
        )
        SequentialRunner().run(create_pipeline(), tables)
        return tables

    return run


def test_events_of_a_topic_become_events_of_the_shop(broker, run):
    topic = broker.new_topic()
    broker.send(topic, event(), b"no json", event(price="ten"), event(product_id="p2", user_id=7))

    tables = run(topic)

    events = tables.load("events")
    seen = events.select(c.EVENT_TYPE, c.USER_ID, c.PRODUCT_ID, c.PRICE, c.SEARCH_QUERY).rows()
    assert seen == [
        (c.PRODUCT_VIEW, "7", "p2", 2.5, "bear"),
        (c.PRODUCT_VIEW, "u1", "p1", 2.5, "bear"),
    ]
    assert tables.load("landing_report").landed == 3
    assert tables.load("ingestion_report")["rejected"] == {"price_not_a_number": 1}


def test_what_came_since_is_landed_by_the_next_run(broker, run):
    topic = broker.new_topic()
    broker.send(topic, event())
    run(topic)
    broker.send(topic, event(), event(product_id="p2"))

    tables = run(topic)

    assert tables.load("landing_report").landed == 2
    report = tables.load("ingestion_report")
    assert (report["rows_read"], report["kept"]) == (3, 2)
    assert report["duplicates"] == {"exact": 1, "event_id": 0}
