"""Another shop by configuration alone: CSV, other names, no categories or prices, own types."""

import shutil
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion import create_pipeline
from recsys_kedro.pipelines.ingestion.options import IngestionOptions
from recsys_kedro.streams.options import LandingOptions

CONF = Path(__file__).parents[3] / "conf"
GLOBALS = """
shop: fahrrad
data: {folder}
"""
CATALOG = """
raw_events:
  type: recsys_kedro.datasets.tables.TableDataset
  filepath: ${globals:data}/01_raw/ereignisse_*.csv
  load_args: {separator: ";"}
"""
PARAMETERS = """
ingestion:
  max_rejected_share: 0.3
  event_type_aliases:
    angesehen: product_view
    In den Korb: add_to_cart
    gekauft: purchase
  shops:
    fahrrad:
      event_columns: {event_type: Aktion, user_id: Kunde, product_id: Artikel, timestamp: Zeitpunkt}
      time_formats: ["%d.%m.%Y %H:%M"]
      time_zone: Europe/Berlin
      exclude:
        - {name: own_staff, column: Kunde, matches: ^intern}
"""
JULY = """Aktion;Kunde;Artikel;Zeitpunkt
angesehen;0042;R-1;01.07.2025 09:00
In den Korb;0042;R-1;01.07.2025 09:05
gekauft;0042;R-1;01.07.2025 10:00
gekauft;intern7;R-2;01.07.2025 10:00
"""
DECEMBER = """Aktion;Kunde;Artikel;Zeitpunkt
getauscht;0043;R-2;01.12.2025 10:00
gekauft;0043;R-2;01.12.2025 10:00
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Every output of the pipeline, run with conf/base and one small environment."""
    root = tmp_path_factory.mktemp("project")
    raw = root / "data" / "01_raw"
    raw.mkdir(parents=True)
    (raw / "ereignisse_07.csv").write_text(JULY)
    (raw / "ereignisse_12.csv").write_text(DECEMBER)
    shutil.copytree(CONF / "base", root / "conf" / "base")
    env = root / "conf" / "fahrrad"
    env.mkdir()
    (env / "globals.yml").write_text(GLOBALS.format(folder=root / "data"))
    (env / "catalog_ingestion.yml").write_text(CATALOG)
    (env / "parameters_ingestion.yml").write_text(PARAMETERS)
    return run(root / "conf", env="fahrrad")


def run(conf, env):
    loader = OmegaConfigLoader(
        str(conf),
        env=env,
        base_env="base",
        config_patterns={
            "catalog": ["catalog_ingestion.yml"],
            "parameters": ["parameters_ingestion.yml"],
        },
        merge_strategy={"parameters": "soft"},
    )
    catalog = DataCatalog.from_config(loader["catalog"])
    catalog["params:ingestion"] = IngestionOptions(**loader["parameters"]["ingestion"])
    catalog["params:landing"] = LandingOptions(folder="unused")
    catalog["params:run_time"] = "2026-01-01T00:00:00Z"
    SequentialRunner().run(create_pipeline(), catalog)
    names = ["events", "products", "users", "rejected_events", "ingestion_report"]
    return {name: catalog.load(name) for name in names}


def test_events(tables):
    events = tables["events"]

    assert events.select(c.EVENT_TYPE, c.USER_ID, c.SESSION_ID).rows() == [
        (c.PRODUCT_VIEW, "0042", "0042-1"),
        (c.ADD_TO_CART, "0042", "0042-1"),
        (c.PURCHASE, "0042", "0042-2"),
        (c.PURCHASE, "0043", "0043-1"),
    ]
    assert [time.hour for time in events[c.TIMESTAMP]] == [9 - 2, 9 - 2, 10 - 2, 10 - 1]
    assert events[c.PRICE].null_count() == events.height


def test_rejected_and_excluded(tables):
    assert tables["ingestion_report"]["excluded"] == {"own_staff": 1}
    assert tables["rejected_events"].select(c.SOURCE_ROW, c.REASON).rows() == [
        (5, "unknown_event_type: event_type 'getauscht' is no known event type")
    ]


def test_products_and_users_without_tables(tables):
    products = tables["products"]

    assert products[c.PRODUCT_ID].to_list() == ["R-1", "R-2"]
    assert products[c.CATEGORY].null_count() == products[c.PRICE].null_count() == 2
    assert tables["users"][c.USER_ID].to_list() == ["0042", "0043"]
