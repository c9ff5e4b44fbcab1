"""The pipeline through the configuration and the catalog as committed, on real files."""

import json
from pathlib import Path

import polars as pl
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from recsys_kedro import columns as c
from recsys_kedro.monitoring.alerts import MonitoringAlert
from recsys_kedro.pipelines.monitoring import create_pipeline
from recsys_kedro.pipelines.monitoring.options import MonitoringOptions
from recsys_kedro.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[3]
TABLES = ("events", "products", "user_features", "product_features")


@pytest.fixture(scope="module")
def config():
    return OmegaConfigLoader(PROJECT / "conf", env="test", **CONFIG_LOADER_ARGS)


@pytest.fixture
def monitor(plant, options, config, tmp_path):
    """Writes a log as servers do, runs the pipeline on it, and gives the folder of reports."""

    def monitor(chosen=None, **different):
        log = plant(**different)
        names = create_pipeline().datasets()
        entries = {name: entry for name, entry in config["catalog"].items() if name in names}
        for entry in entries.values():
            if "filepath" in entry:
                path = Path(entry["filepath"]).relative_to("data/test")
                entry["filepath"] = str(tmp_path / path)
        for table, prefix in ((log.impressions, "impressions"), (log.served_inputs, "inputs")):
            time = c.TIMESTAMP if prefix == "impressions" else c.AS_OF
            dated = table.with_columns(pl.col(time).dt.date().alias("date"))
            for (day,), rows in dated.partition_by("date", as_dict=True, include_key=False).items():
                path = (
                    Path(entries["impressions"]["filepath"]) / f"date={day}" / f"{prefix}-7.parquet"
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                rows.write_parquet(path)
        catalog = DataCatalog.from_config(entries)
        for name in (*TABLES, "split", "ingestion_report"):
            catalog.save(name, getattr(log, name))
        catalog["params:monitoring"] = chosen or options()
        catalog["params:shop"] = "test"
        try:
            SequentialRunner().run(create_pipeline(), catalog)
        finally:
            reports = tmp_path / "08_reporting"
        return reports

    return monitor


def test_a_run_fails_when_its_reports_are_written(monitor, tmp_path):
    with pytest.raises(MonitoringAlert, match=r"1 alert, .*; ctr is 3\.33%, below"):
        monitor(ctr=0.05)
    reports = tmp_path / "08_reporting"
    page = (reports / "monitoring.html").read_text()
    assert "Something is wrong" in page
    assert "SIMULATED DATA" in page
    alerts = json.loads((reports / "monitoring_alerts.json").read_text())
    assert (alerts["status"], alerts["findings"][0]["figure"]) == ("alert", "ctr")
    figures = pl.read_parquet(reports / "monitoring_figures.parquet")
    assert set(figures["group"]) == {"business", "model", "system", "data", "drift", "skew"}
    assert figures["window_end"].n_unique() == 8


def test_the_thresholds_as_configured_say_that_there_is_not_enough_data(monitor, config):
    """Sixty answers a day: nothing is alarming, and nothing of the business is fine."""
    configured = config["parameters"]["monitoring"]
    assert configured["webhook_url"] is None
    alerts = json.loads(
        (monitor(MonitoringOptions(**configured)) / "monitoring_alerts.json").read_text()
    )
    of_business = {each["status"] for each in alerts["findings"] if each["group"] == "business"}
    assert of_business == {"not enough data"}
    assert alerts["status"] == "not enough data"


def test_the_alarm_comes_last():
    pipeline = create_pipeline()
    last = [node.name for node in pipeline.nodes if not node.outputs]
    assert last == ["raise_alarm"]
    assert pipeline.outputs() == set()
