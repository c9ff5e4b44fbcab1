"""The whole pipeline on a small simulated shop with known tastes, and what it leaves behind."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from recsys_kedro.models.registry import MODELS
from recsys_kedro.simulation.oracle import oracle_scores
from recsys_kedro.splits import TimeSplit

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data" / "test"
# A whole run passes through Kedro's, MLflow's and pandera's own code, which warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
TRACKING_URI = f"sqlite:///{DATA}/mlflow.db"


@pytest.fixture(scope="module")
def run():
    """A run from nothing, in ``data/test``; the notebooks read it afterwards."""
    shutil.rmtree(DATA, ignore_errors=True)
    bootstrap_project(ROOT)
    with KedroSession.create(project_path=ROOT, env="test") as session:
        session.run()
    return DATA


@pytest.fixture(scope="module")
def evaluation(run):
    return json.loads((run / "08_reporting" / "evaluation.json").read_text())


def ndcg(evaluation, task, model):
    return evaluation["tasks"][task]["models"][model]["ndcg@10"]["value"]


def test_hybrid_beats_popularity(evaluation):
    for task in ("all", "new"):
        assert ndcg(evaluation, task, "hybrid") >= 1.2 * ndcg(evaluation, task, "popularity")


def test_hybrid_finds_the_planted_tastes(run, evaluation, shop):
    """At least 60 % of what a model that knows every taste reaches, on the mean of both tasks."""
    reached = []
    split = TimeSplit.model_validate_json((run / "04_feature" / "split.json").read_text())
    truth = pl.read_parquet(run / "07_model_output" / "test_truth.parquet")
    events = pl.read_parquet(run / "03_primary" / "events.parquet")
    past = events.filter(pl.col("timestamp") < split.test_start)
    bought = past.filter(pl.col("event_type") == "purchase")
    for task in ("all", "new"):
        asked = truth.filter(
            pl.col("task") == task, pl.col("user_id").is_in(past["user_id"].unique().implode())
        )
        users = asked["user_id"].unique().sort().to_list()
        scores = oracle_scores(shop.tastes, pl.Series(users), split.test_start, past)
        ids = shop.tastes.product_ids.to_list()
        column = {id_: place for place, id_ in enumerate(ids)}
        if task == "new":
            for user, product in bought.select("user_id", "product_id").iter_rows():
                if user in users:
                    scores[users.index(user), column[product]] = -np.inf
        oracle = np.mean(
            [
                ndcg_of(
                    [ids[place] for place in np.argsort(-scores[row])[:10]],
                    set(asked.filter(pl.col("user_id") == user)["product_id"]),
                )
                for row, user in enumerate(users)
            ]
        )
        reached.append((ndcg(evaluation, task, "hybrid"), oracle))
    assert sum(hybrid for hybrid, _ in reached) >= 0.6 * sum(oracle for _, oracle in reached)


def ndcg_of(ranked, relevant):
    gains = [(product in relevant) / np.log2(place + 2) for place, product in enumerate(ranked)]
    return sum(gains) / sum(1 / np.log2(place + 2) for place in range(min(len(relevant), 10)))


def test_figures_can_be_recomputed_from_the_lists(run, evaluation):
    truth = pd.read_parquet(run / "07_model_output" / "test_truth.parquet")
    lists = pd.read_parquet(run / "07_model_output" / "test_recommendations.parquet")
    events = pd.read_parquet(run / "03_primary" / "events.parquet")
    started = set(events.user_id[events.timestamp < pd.Timestamp(evaluation["cut"])])
    for task in ("all", "new"):
        relevant = truth[truth.task == task].groupby("user_id").product_id.agg(set)
        relevant = relevant[relevant.index.isin(started)]
        for model in MODELS:
            rows = lists[(lists.task == task) & (lists.model == model)].sort_values("rank")
            ranked = rows.groupby("user_id").product_id.agg(list)
            values = [ndcg_of(ranked.get(u, [])[:10], wanted) for u, wanted in relevant.items()]
            assert np.mean(values) == pytest.approx(ndcg(evaluation, task, model), abs=1e-6)


def test_lists_have_no_product_twice_and_no_gap_in_the_ranks(run):
    lists = pl.read_parquet(run / "07_model_output" / "test_recommendations.parquet")
    per_list = lists.group_by("task", "model", "user_id").agg(
        pl.len(), products=pl.col("product_id").n_unique(), last=pl.col("rank").max()
    )
    assert (per_list["len"] == per_list["products"]).all()
    assert (per_list["len"] == per_list["last"]).all()
    assert per_list["len"].max() == 50


def test_everybody_gets_a_list_with_reasons(run):
    table = pl.read_parquet(run / "07_model_output" / "recommendations.parquet")
    users = pl.read_parquet(run / "03_primary" / "users.parquet")
    lengths = table.group_by("user_id").len()
    assert set(lengths["user_id"]) == set(users["user_id"])
    assert lengths["len"].unique().to_list() == [20]
    assert table["reason"].str.len_chars().min() > 0


def test_report_is_whole_and_says_simulated(run):
    page = (run / "08_reporting" / "evaluation.html").read_text()
    assert "SIMULATED DATA" in page
    assert not re.search(r"""(src|href)=["']https?://""", page)


def test_registered_model_is_champion_and_has_no_pickle(run):
    registration = json.loads((run / "08_reporting" / "registration.json").read_text())
    assert registration["alias"] == "champion"
    logged = list((run / "mlartifacts").rglob("*.safetensors")) + list(
        (run / "mlartifacts").rglob("*.parquet")
    )
    assert logged
    assert not [p for p in (run / "mlartifacts").rglob("*") if p.suffix in {".pkl", ".pickle"}]


@pytest.fixture(scope="module")
def server(run):
    """``mlflow models serve`` on the champion, as ``make serve`` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(sys.executable).parent
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": TRACKING_URI,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        str(folder / "mlflow"), "models", "serve", "-m", "models:/recsys_test@champion",
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(process, port)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=20)


def wait_until_ready(process, port):
    for _ in range(240):
        assert process.poll() is None, "mlflow models serve ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the server did not answer within two minutes")


def ask(server, *requests):
    body = json.dumps({"inputs": requests}).encode()
    message = urllib.request.Request(server, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(message, timeout=30) as answer:
        return json.load(answer)["predictions"]


def test_server_answers_known_unknown_and_bad_requests_side_by_side(run, server):
    events = pl.read_parquet(run / "03_primary" / "events.parquet")
    user = events["user_id"][0]
    known, unknown, bad = ask(
        server, {"user_id": user, "k": 7}, {"user_id": "nobody"}, {"user_id": user, "k": 0}
    )
    assert [item["rank"] for item in known["items"]] == [1, 2, 3, 4, 5, 6, 7]
    assert known["fallback"] is None
    assert known["error"] is None
    assert len(unknown["items"]) == 10
    assert unknown["fallback"] == "unknown_user"
    assert len({item["category"] for item in unknown["items"]}) >= 5
    assert bad["items"] == []
    assert bad["error"].startswith("k:")


def test_server_counts_events_that_come_with_the_request(run, server):
    products = pl.read_parquet(run / "03_primary" / "products.parquet")["product_id"].to_list()
    seen = [{"product_id": product, "event_type": "purchase"} for product in products[:5]]
    before, after = ask(server, {"user_id": "fresh"}, {"user_id": "fresh", "events": seen})
    assert before["fallback"] == "unknown_user"
    assert after["fallback"] is None
    assert not {item["product_id"] for item in after["items"]} & set(products[:5])


def test_same_seed_gives_the_same_figures_and_refreshes_the_champion(run, evaluation):
    """Last in this file: everything again in another process, now against its own champion."""
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--env=test"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    again = json.loads((run / "08_reporting" / "evaluation.json").read_text())
    assert_equal(again, evaluation)
    promotion = json.loads((run / "08_reporting" / "promotion.json").read_text())
    assert promotion["promote"]
    assert promotion["against_champion"] == pytest.approx([0, 0, 0], abs=1e-6)


def assert_equal(one, other):
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_equal(one[key], other[key])
    elif isinstance(other, float):
        assert one == pytest.approx(other, abs=1e-6)
    else:
        assert one == other
