"""The environment ``sequences`` from a text file to figures, by leave-last-out."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError

from recsys_kedro.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]
PIPELINES = "ingestion,feature_engineering,sampling,training,evaluation"
MODELS = """
models:
  recent_popularity: [{half_life_days: 50}]
  own_history: [{half_life_days: 50}]
  item_knn: [{half_life_days: 3, own_weight: 0}]
  ease: [{half_life_days: 3, own_weight: 0}]
  linear: [{own_weight: 0, query_decay: 0.6}]
  ials: [{factors: 16, regularization: 10, half_life_days: 3, own_weight: 0}]
  hybrid: [{snapshots: 3, list_size: 64, training: {epochs: 2, batch_size: 64}}]
"""
SAMPLING = """
sampling:
  snapshots: 3
  window_queries: 300
  session_queries: 0
"""
LAST_ONLY, NOWHERE = "seen-last", "described-only"


def make_sequences():
    """500 users of three tastes, 300 items in three circles; nobody has an item twice."""
    rng = np.random.default_rng(5)
    sequences = {}
    for user in range(500):
        place, items = int(rng.integers(100)), []
        for _ in range(int(rng.integers(1, 12))):
            place = (place + int(rng.integers(1, 4))) % 100
            mine = user % 3 * 100 + place
            items.append(f"i{mine if rng.random() < 0.8 else int(rng.integers(300))}")
        sequences[f"u{user}"] = list(dict.fromkeys(items))
    sequences["u2"].append(LAST_ONLY)
    return sequences


@pytest.fixture(scope="module")
def sequences():
    return make_sequences()


@pytest.fixture(scope="module")
def run(sequences, tmp_path_factory):
    """The folder of a run's data."""
    root = tmp_path_factory.mktemp("sequences")
    text = "".join(f"{user} {' '.join(items)}\n" for user, items in sequences.items())
    (root / "sequences.txt").write_text(text)
    attributes = {f"i{item}": [item // 100, f"Größe {item % 7}"] for item in range(300)}
    (root / "attributes.json").write_text(json.dumps({**attributes, NOWHERE: [1]}))
    environment = os.environ | {
        "RECSYS_SEQUENCES": str(root / "sequences.txt"),
        "RECSYS_ATTRIBUTES": str(root / "attributes.json"),
    }
    done = kedro(root, environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root / "data"


def kedro(root, environment):
    """Run on a copy of the configuration that writes below ``root``, with small models."""
    conf = root / "conf"
    shutil.copytree(ROOT / "conf", conf, ignore=shutil.ignore_patterns("local"))
    (conf / "local").mkdir()
    env = conf / "sequences"
    settings = (env / "globals.yml").read_text().splitlines()
    kept = [line for line in settings if not line.startswith("data:")]
    (env / "globals.yml").write_text("\n".join([*kept, f"data: {root / 'data'}", ""]))
    (env / "parameters_models.yml").write_text(MODELS)
    (env / "parameters_sampling.yml").write_text(SAMPLING)
    tracking = f"server: {{mlflow_tracking_uri: 'sqlite:///{root}/mlflow.db'}}\n"
    (env / "mlflow.yml").write_text(tracking)
    program = str(Path(sys.executable).parent / "kedro")
    command = [program, "run", "--env=sequences", f"--conf-source={conf}", "--pipelines", PIPELINES]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def evaluation(run):
    return json.loads((run / "08_reporting" / "evaluation.json").read_text())


def ndcg(evaluation, model):
    return evaluation["tasks"]["new"]["models"][model]["ndcg@10"]["value"]


def test_the_windows_hold_the_last_item_and_the_one_before(run, sequences):
    for name, folder, place in (
        ("test_truth", "07_model_output", -1),
        ("validation_truth", "05_model_input", -2),
    ):
        truth = pl.read_parquet(run / folder / f"{name}.parquet")
        wanted = {(u, items[place]) for u, items in sequences.items() if len(items) >= -place}
        for task in ("all", "new"):  # nobody repeats
            rows = truth.filter(task=task).select("user_id", "product_id").rows()
            assert sorted(rows) == sorted(wanted)


def test_users_with_a_history_count(evaluation, sequences):
    assert evaluation["tasks"]["new"]["users"] == sum(len(s) > 1 for s in sequences.values())


def test_popularity_is_judged_by_leaving_the_last_out(run, evaluation, sequences):
    """Its lists are those of all items but what a user had, counted without any last item."""
    counts = Counter(item for items in sequences.values() for item in items[:-1])
    lists = pl.read_parquet(run / "07_model_output" / "test_recommendations.parquet")
    lists = lists.filter(pl.col("rank") <= 10, task="new", model="popularity").sort("rank")
    shown = dict(lists.group_by("user_id", maintain_order=True).agg("product_id").iter_rows())
    gains = []
    for user, items in sequences.items():
        free = sorted((counts[i] for i in counts if i not in items[:-1]), reverse=True)
        assert [counts[item] for item in shown[user]] == free[:10]
        assert not set(shown[user]) & set(items[:-1])
        if len(items) > 1:
            hit = items[-1] in shown[user]
            gains.append(1 / np.log2(shown[user].index(items[-1]) + 2) if hit else 0)
    assert ndcg(evaluation, "popularity") == pytest.approx(np.mean(gains), abs=1e-6)


def test_whoever_knows_what_follows_beats_popularity(evaluation):
    for model in ("item_knn", "ease", "ials", "hybrid"):
        assert ndcg(evaluation, model) > 3 * ndcg(evaluation, "popularity")


def test_catalogue_is_that_of_both_files_at_every_cut(run, sequences):
    everything = {item for items in sequences.values() for item in items} | {NOWHERE}
    assert LAST_ONLY in everything
    everything |= {f"i{item}" for item in range(300)}
    snapshots = pl.read_parquet(run / "04_feature" / "product_snapshots.parquet")
    for _, known in snapshots.group_by("snapshot_time"):
        assert set(known["product_id"]) == everything


def test_training_lists_ask_at_steps_and_their_labels_are_the_next_item(run, sequences):
    lists = pl.read_parquet(run / "05_model_input" / "training_lists" / "requests.parquet")
    steps = lists.select((pl.col("label_end") - pl.col("as_of")).dt.total_days()).to_series()
    assert steps.unique().to_list() == [1]
    back = (lists["as_of"].max() - lists["as_of"]).dt.total_days()
    lengths = [len(sequences[user]) for user in lists["user_id"]]
    assert (lists["history_length"] + back + 1).to_list() == lengths


def test_unset_variable_is_told(monkeypatch):
    monkeypatch.delenv("RECSYS_SEQUENCES", raising=False)
    config = OmegaConfigLoader(ROOT / "conf", env="sequences", **CONFIG_LOADER_ARGS)
    with pytest.raises(DatasetError, match="environment variable RECSYS_SEQUENCES"):
        DataCatalog.from_config(config["catalog"]).load("raw_events")
