"""The same nodes on Polars and on PySpark, as the catalog entries choose, give the same tables."""

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.pipelines.feature_engineering.nodes import (
    build_product_features,
    build_product_snapshots,
    build_user_features,
    split_time,
)
from recsys_kedro.splits import SplitOptions, TimeSplit

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(
        shutil.which("java") is None, reason="PySpark needs Java, and there is no `java` on PATH"
    ),
]
CONF = Path(__file__).parents[2] / "conf"
TABLES = ("events", "products", "users")
FEATURES = ("user_features", "product_features", "product_snapshots")
OPTIONS = FeatureOptions(snapshot_every_days=60)
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
    # For tables as small as these, compiling the plans would take most of the time.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@pytest.fixture(scope="module")
def _session():
    sql = pytest.importorskip("pyspark.sql", reason="pip install 'recsys_kedro[spark]'")
    session = sql.SparkSession.builder.master("local[1]").config(map=SESSION).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield
    session.stop()


@pytest.fixture(scope="module")
def _random(random_shop, as_of):
    """Ties, gaps and returns around the cut."""
    return dict(zip(TABLES, random_shop(5), strict=True)), _split_at(as_of)


@pytest.fixture(scope="module")
def _simulated(shop_events, shop, shop_split):
    """25,000 events with real sessions, and more of them after the cut."""
    as_of = shop_split.test_start
    return dict(zip(TABLES, (shop_events, shop.products, shop.users), strict=True)), _split_at(
        as_of
    )


@pytest.fixture(params=["_random", "_simulated"])
def case(request):
    """The tables of a shop, and its split."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def tables(case):
    return case[0]


@pytest.fixture
def split(case):
    return case[1]


def _split_at(as_of):
    return TimeSplit(
        validation_start=as_of - timedelta(days=14),
        test_start=as_of - timedelta(days=7),
        end=as_of,
        as_of=as_of,
        horizon_days=7,
        target_event_types=(c.PURCHASE,),
    )


@pytest.fixture
def catalog(_session, tables, tmp_path, monkeypatch):
    """The Spark environment's catalog over a folder that holds the shop."""
    monkeypatch.chdir(tmp_path)
    Path("data/03_primary").mkdir(parents=True)
    for name, table in tables.items():
        table.write_parquet(f"data/03_primary/{name}.parquet")
    loader = OmegaConfigLoader(str(CONF), base_env="base", default_run_env="spark")
    entries = [*TABLES, *FEATURES]
    return DataCatalog.from_config({name: loader["catalog"][name] for name in entries})


def assert_saved_equal(catalog, name, ours):
    """Through the engine's own file; what it read back has the engine's own order."""
    folder = Path(catalog[name]._filepath)
    theirs = pl.read_parquet(folder / "*.parquet").cast(ours.schema)
    assert ours.height > 10
    assert_frame_equal(ours, theirs, rel_tol=1e-12)


def test_user_features(catalog, tables, split):
    theirs = [catalog.load(name) for name in TABLES]
    catalog.save("user_features", build_user_features(*theirs, split, OPTIONS))
    ours = build_user_features(*tables.values(), split, OPTIONS)
    assert ours["avg_products_per_session"].max() > 1
    assert_saved_equal(catalog, "user_features", ours)


def test_product_features(catalog, tables, split):
    theirs = [catalog.load(name) for name in TABLES[:2]]
    catalog.save("product_features", build_product_features(*theirs, split, OPTIONS))
    ours = build_product_features(tables["events"], tables["products"], split, OPTIONS)
    assert_saved_equal(catalog, "product_features", ours)


def test_product_features_at_every_cut(catalog, tables, split):
    theirs = [catalog.load(name) for name in TABLES[:2]]
    catalog.save("product_snapshots", build_product_snapshots(*theirs, split, OPTIONS))
    ours = build_product_snapshots(tables["events"], tables["products"], split, OPTIONS)
    assert ours["snapshot_time"].n_unique() > 2
    assert_saved_equal(catalog, "product_snapshots", ours)


@pytest.mark.parametrize("case", ["_random"], indirect=True)
def test_snapshots_of_all_times_read_the_events_once(catalog, split, capsys):
    theirs = [catalog.load(name) for name in TABLES[:2]]
    build_product_snapshots(*theirs, split, OPTIONS).explain()
    plan = capsys.readouterr().out.splitlines()
    assert sum("FileScan" in line and c.EVENT_TYPE in line for line in plan) == 1


def test_time_split(catalog, tables):
    """So that the whole pipeline runs on the environment's engine."""
    options = SplitOptions(horizon_days=7)
    theirs = split_time(catalog.load("events"), None, options)
    assert theirs == split_time(tables["events"], None, options)
