"""The default shop through the configuration, the catalog and the pipeline as committed."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion import create_pipeline
from recsys_kedro.pipelines.ingestion.options import IngestionOptions
from recsys_kedro.streams.options import LandingOptions

PROJECT = Path(__file__).parents[3]
TEST_START = datetime(2011, 11, 11, tzinfo=UTC)
TEST_END = datetime(2011, 12, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def config():
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"),
        base_env="base",
        default_run_env="base",
        config_patterns={
            "catalog": ["catalog_ingestion.yml"],
            "parameters": ["parameters_ingestion.yml"],
        },
    )
    return {"catalog": loader["catalog"], "parameters": loader["parameters"]}


@pytest.fixture(scope="module")
def tables(config, tmp_path_factory):
    """Every output of the pipeline, loaded from where the catalog put it."""
    out = tmp_path_factory.mktemp("data")
    entries = {}
    for name, entry in config["catalog"].items():
        root = PROJECT if name.startswith("raw_") else out
        path = {"filepath": str(root / entry["filepath"])} if "filepath" in entry else {}
        entries[name] = {**entry, **path}
    catalog = DataCatalog.from_config(entries)
    catalog["params:ingestion"] = IngestionOptions(**config["parameters"]["ingestion"])
    catalog["params:landing"] = LandingOptions(folder="unused")
    catalog["params:run_time"] = None
    SequentialRunner().run(create_pipeline(), catalog)
    names = ["events", "products", "users", "rejected_events", "ingestion_report"]
    return {name: catalog.load(name) for name in names}


def purchasers(events, condition):
    bought = events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE, condition)
    return bought.select(c.USER_ID, c.PRODUCT_ID).unique()


def test_users_and_new_products_of_the_test_window(tables):
    events = tables["events"]
    before = purchasers(events, pl.col(c.TIMESTAMP) < TEST_START)
    window = pl.col(c.TIMESTAMP).is_between(TEST_START, TEST_END, closed="left")
    scored = purchasers(events, window).join(before, on=c.USER_ID, how="semi")
    new = scored.join(before, on=[c.USER_ID, c.PRODUCT_ID], how="anti")

    assert scored[c.USER_ID].n_unique() == 1_326
    assert new[c.USER_ID].n_unique() == 1_220


def test_every_row_of_the_file_is_accounted_for(tables):
    report = tables["ingestion_report"]

    assert report["rows_read"] == 541_909
    assert report["excluded"]["no_customer"] == 135_080
    assert report["rejected"] == {}
    assert tables["rejected_events"].is_empty()
    assert tables["events"].height == report["kept"]
    parts = (report["excluded"], report["rejected"], report["duplicates"])
    assert report["rows_read"] == report["kept"] + sum(sum(part.values()) for part in parts)


def test_cancelled_invoices_are_returns(tables):
    returns = tables["events"].filter(pl.col(c.EVENT_TYPE) == c.RETURN)

    assert returns[c.SESSION_ID].str.starts_with("C").all()
    assert (returns[c.QUANTITY] > 0).all()
    assert returns.height == 8_506


def test_events_are_sorted(tables):
    keys = tables["events"].select(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    assert keys.equals(keys.sort(keys.columns))


def test_categories_cover_most_products(tables):
    products = tables["products"]
    sizes = products[c.CATEGORY].value_counts()

    assert products[c.CATEGORY].null_count() == 0
    assert 60 <= sizes.height <= 150
    assert (products[c.CATEGORY] == "other").mean() < 0.2
    mug = products.filter(pl.col(c.NAME) == "VINTAGE RED TEATIME MUG")
    assert mug[c.CATEGORY].to_list() == ["mug"]


def test_every_product_and_user_of_the_events_has_a_row(tables):
    events = tables["events"]
    for table, key in (("products", c.PRODUCT_ID), ("users", c.USER_ID)):
        assert events.join(tables[table], on=key, how="anti").is_empty()
