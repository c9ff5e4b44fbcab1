"""The production environment without its settings: it loads, and says what it lacks when used."""

import os
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from recsys_kedro.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """Loads the production environment where nothing is set but what is given."""
    for name in [*os.environ]:
        if name.startswith(("RECSYS_", "MLFLOW_", "AWS_")):
            monkeypatch.delenv(name)

    def load(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return OmegaConfigLoader(conf_source=ROOT / "conf", env="production", **CONFIG_LOADER_ARGS)

    return load


@pytest.mark.parametrize(
    ("dataset", "variable"),
    [
        ("raw_events", "RECSYS_BUCKET"),
        ("events", "RECSYS_BUCKET"),
        ("split", "RECSYS_BUCKET"),
        ("training_lists", "RECSYS_BUCKET"),
        ("evaluation", "RECSYS_BUCKET"),
        ("raw_products", "RECSYS_POSTGRES_URL"),
        ("raw_users", "RECSYS_POSTGRES_URL"),
        ("impressions", "RECSYS_IMPRESSIONS_FOLDER"),
    ],
)
def test_dataset_names_the_setting_that_it_lacks(load, dataset, variable):
    catalog = DataCatalog.from_config(load()["catalog"])
    with pytest.raises(DatasetError, match=variable):
        catalog.load(dataset)


def test_tracking_names_the_setting_that_it_lacks(load):
    uri = load()["mlflow"]["server"]["mlflow_tracking_uri"]
    with pytest.raises(MlflowException, match="MLFLOW_TRACKING_URI"):
        MlflowClient(tracking_uri=uri).search_experiments()


def test_shops_of_one_bucket_stay_apart(load):
    config = load(RECSYS_BUCKET="ours", RECSYS_SHOP="corner")
    assert config["globals"]["data"] == "s3://ours/corner"
    assert config["mlflow"]["tracking"]["experiment"]["name"] == "corner"
    assert config["parameters"]["landing"]["group"] == "recsys_landing_corner"
