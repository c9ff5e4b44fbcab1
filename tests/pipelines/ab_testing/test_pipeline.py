"""The pipeline through the catalog as committed, on files as servers and the ingestion write."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from recsys_kedro import columns as c
from recsys_kedro.experiments.declarations import read_experiments
from recsys_kedro.experiments.verdict import Action
from recsys_kedro.pipelines.ab_testing import create_pipeline
from recsys_kedro.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[3]


def read_config(kind):
    """By a loader of its own: the loader that was made last resolves the globals of all."""
    return OmegaConfigLoader(str(PROJECT / "conf"), env="base", **CONFIG_LOADER_ARGS)[kind]


@pytest.fixture
def catalog(tmp_path):
    """The datasets of the pipeline, below ``tmp_path``."""
    config = read_config("catalog")
    pipeline = create_pipeline()
    entries = {}
    for name in {*pipeline.inputs(), *pipeline.all_outputs()} & config.keys():
        entry = config[name]
        path = {"filepath": str(tmp_path / entry["filepath"])} if "filepath" in entry else {}
        entries[name] = entry | path
    return DataCatalog.from_config(entries)


def write_day_by_day(impressions, folder):
    for (day,), rows in impressions.group_by(pl.col(c.TIMESTAMP).dt.date()):
        path = folder / f"date={day}" / "impressions-1-1.parquet"
        path.parent.mkdir(parents=True)
        rows.write_parquet(path)


@pytest.fixture
def run(catalog, tmp_path, options):
    """Writes the files of a shop, runs the pipeline, returns the results."""

    def run_pipeline(shop, as_of, **plan):
        experiments, log = shop
        write_day_by_day(log.impressions, tmp_path / "data/07_model_output/impressions")
        catalog.save("events", log.events)
        catalog.save("products", log.products)
        declared = tmp_path / "conf/base/experiments.yml"
        declared.parent.mkdir(parents=True)
        declared.write_text(yaml.safe_dump(experiments.model_dump(mode="json")))
        catalog["params:ab_testing"] = options(**plan)
        catalog["params:as_of"], catalog["params:shop"] = as_of.isoformat(), "test"
        SequentialRunner().run(create_pipeline(), catalog)
        return catalog.load("experiment_results")

    return run_pipeline


def test_a_planted_lift_is_shipped(run, simulated, end, catalog):
    results = run(simulated(lift=0.5), end)
    verdict = results.experiments["ranker"].verdicts["new"]
    assert verdict.action is Action.SHIP
    effects = catalog.load("experiment_effects")
    revenue = effects.row(by_predicate=pl.col("metric") == "revenue_per_user", named=True)
    assert revenue["relative_low"] < 0.5 < revenue["relative_high"]
    coverage = effects.row(by_predicate=pl.col("metric") == "coverage", named=True)
    assert coverage["difference_low"] is not None, "batches stand for more than 1,000 users"
    assert f"<h2>{verdict.headline}</h2>" in catalog.load("experiment_report")


def test_without_a_lift_it_runs_to_its_end_and_is_not_shipped(run, simulated, end):
    results = run(simulated(), end - timedelta(days=7))
    assert results.experiments["ranker"].verdicts["new"].action is Action.KEEP_RUNNING


def test_at_its_end_it_is_not_shipped(run, simulated, end):
    results = run(simulated(), end)
    assert results.experiments["ranker"].verdicts["new"].action is Action.DO_NOT_SHIP


def test_a_broken_split_is_not_judged(run, simulated, end):
    results = run(simulated(lift=0.5, lost=0.25), end)
    verdict = results.experiments["ranker"].verdicts["new"]
    assert verdict.action is Action.CANNOT_BE_JUDGED
    assert "split is broken" in verdict.headline


def test_nothing_is_declared_by_default():
    file = PROJECT / read_config("globals")["experiments"]
    assert read_experiments(file).named == {}


def test_the_example_in_the_file_is_one_that_can_be_declared(tmp_path):
    """The comment from ``holdout:`` on, without its marks."""
    lines = (PROJECT / "conf/base/experiments.yml").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines)
    example = tmp_path / "experiments.yml"
    example.write_text(text[text.index("holdout:") :])
    assert read_experiments(example).named["hybrid_or_popular"].control == "popular"
