"""A shop of its own kind runs by configuration alone: CSV, other names, no prices, no tables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
KINDS = {"seen": 0.6, "basketed": 0.2, "ordered": 0.2}
CATALOG = """
raw_events:
  type: recsys_kedro.datasets.tables.TableDataset
  filepath: ${globals:data}/01_raw/log_*.csv
  load_args: {separator: ";"}
"""
PARAMETERS = """
ingestion:
  event_type_aliases: {seen: product_view, basketed: add_to_cart, ordered: purchase}
  shops:
    corner_shop:
      event_columns: {user_id: kunde, product_id: artikel, timestamp: zeit, event_type: was}
"""


def write_log(folder):
    """Two files; 120 users of three tastes, 90 products, 100 days."""
    rng = np.random.default_rng(3)
    count = 9_000
    user = rng.integers(120, size=count)
    product = np.where(
        rng.random(count) < 0.8,
        user % 3 * 30 + rng.zipf(1.6, count) % 30,
        rng.integers(90, size=count),
    )
    second = np.sort(rng.integers(100 * 86_400, size=count))
    log = pl.DataFrame(
        {
            "kunde": [f"K-{number}" for number in user],
            "artikel": [f"Ä{number}" for number in product],
            "zeit": pl.Series((second + 19_000 * 86_400) * 1_000_000).cast(pl.Datetime("us")),
            "was": rng.choice(list(KINDS), p=list(KINDS.values()), size=count),
        }
    )
    folder.mkdir(parents=True)
    log[: count // 2].write_csv(folder / "log_1.csv", separator=";")
    log[count // 2 :].write_csv(folder / "log_2.csv", separator=";")


@pytest.mark.slow
def test_corner_shop_runs_by_configuration_alone(tmp_path):
    data, conf = tmp_path / "data", tmp_path / "conf"
    write_log(data / "01_raw")
    shutil.copytree(ROOT / "conf", conf, ignore=shutil.ignore_patterns("local"))
    (conf / "local").mkdir()
    (conf / "corner").mkdir()
    (conf / "corner" / "globals.yml").write_text(f"shop: corner_shop\ndata: {data}\n")
    (conf / "corner" / "catalog_ingestion.yml").write_text(CATALOG)
    (conf / "corner" / "parameters_ingestion.yml").write_text(PARAMETERS)
    tracking = f"server: {{mlflow_tracking_uri: 'sqlite:///{tmp_path}/mlflow.db'}}\n"
    (conf / "corner" / "mlflow.yml").write_text(tracking)
    kedro = Path(sys.executable).parent / "kedro"
    command = [str(kedro), "run", "--env=corner", f"--conf-source={conf}"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    tasks = json.loads((data / "08_reporting" / "evaluation.json").read_text())["tasks"]
    values = {name: row["ndcg@10"]["value"] for name, row in tasks["all"]["models"].items()}
    assert values["hybrid"] > 1.2 * values["popularity"]
    report = json.loads((data / "08_reporting" / "ingestion_report.json").read_text())
    assert report["rejected"] == {}
    assert pl.read_parquet(data / "07_model_output" / "recommendations.parquet").height > 0
