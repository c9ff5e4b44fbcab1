"""From Kafka, PostgreSQL and S3 to an answer over HTTP, with everything real in between."""

import json
import os
import time
import urllib.request
from datetime import UTC, datetime
from io import BytesIO
from urllib.parse import quote

import polars as pl
import psycopg
import pytest
import s3fs
from kedro.io import DatasetError
from servers.processes import free_port
from servers.tracking import is_healthy

from recsys_kedro.serving.redis_link import connect

# A whole run passes through Kedro's, MLflow's and pandera's own code, which warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
PATIENCE_S = 30


@pytest.fixture(scope="module")
def run(production):
    """The default pipeline, once."""
    production.run()
    return production


@pytest.fixture(scope="module")
def ask(run):
    """Asks ``mlflow models serve`` on the champion; the events of the topic are being fed."""
    port, metrics_port = free_port(), free_port()
    options = {"RECSYS_METRICS_PORT": str(metrics_port), "RECSYS_CACHE_SECONDS": "300"}
    serving = (
        "recsys_kedro.serving.launch",
        "recsys_corner",
        "--port",
        str(port),
        "--workers",
        "1",
    )

    def ask(**request):
        body = json.dumps({"inputs": [request]}).encode()
        message = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(message, timeout=30) as answer:
            return json.load(answer)["predictions"][0]

    with (
        run.module(*serving, port=port, ready=is_healthy, **options),
        run.module("recsys_kedro.streams.feeding", port=0, ready=lambda _: True),
    ):
        yield ask


def test_every_layer_lies_on_s3_and_holds_what_the_servers_had(run, small_shop):
    events = pl.read_parquet(BytesIO(run.stored("03_primary/events.parquet")))
    assert set(events["event_id"]) == set(small_shop.events["event_id"])
    products = pl.read_parquet(BytesIO(run.stored("03_primary/products.parquet")))
    prices = small_shop.products.select("product_id", pl.col("price").alias("listed"))
    both = products.join(prices, on="product_id", how="full", coalesce=True)
    assert (both["price"] - both["listed"]).abs().max() < 0.01
    assert json.loads(run.stored("08_reporting/evaluation.json"))["tasks"]["all"]["users"] > 0
    lists = pl.read_parquet(BytesIO(run.stored("07_model_output/recommendations.parquet")))
    assert set(lists["user_id"]) == set(events["user_id"]) | set(small_shop.users["user_id"])


def test_model_is_champion_on_the_server_and_users_are_in_redis(run, small_shop):
    registration = json.loads(run.stored("08_reporting/registration.json"))
    assert registration["name"] == "recsys_corner"
    assert registration["alias"] == "champion"
    artifacts = s3fs.S3FileSystem().find(f"{os.environ['RECSYS_BUCKET']}/mlflow")
    assert any(path.endswith("MLmodel") for path in artifacts)
    with connect(os.environ["RECSYS_REDIS_URL"], 5.0) as client:
        assert client.dbsize() >= small_shop.events["user_id"].n_unique()


def test_event_of_now_is_in_the_next_answer(run, ask, small_shop):
    newcomer = "somebody new"
    assert ask(user_id=newcomer)["fallback"] == "unknown_user"
    bought = small_shop.products["product_id"].head(3).to_list()
    purchase = {"event_type": "purchase", "user_id": newcomer, "timestamp": datetime.now(UTC)}
    run.tell(*(purchase | {"product_id": product} for product in bought))
    answer, deadline = ask(user_id=newcomer), time.monotonic() + PATIENCE_S
    while answer["fallback"] is not None and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = ask(user_id=newcomer)
    assert answer["fallback"] is None
    assert answer["degraded"] is None
    assert not {item["product_id"] for item in answer["items"]} & set(bought)


def test_no_secret_is_logged_stored_or_tracked(run, ask, postgres, monkeypatch):
    """After a run, an answer, and a run that could not reach the database."""
    ask(user_id="anybody")
    monkeypatch.setenv("RECSYS_POSTGRES_URL", postgres.url("nowhere"))
    with pytest.raises(DatasetError, match="nowhere") as caught:
        run.run(pipeline_names=["ingestion"])
    bucket, store = os.environ["RECSYS_BUCKET"], s3fs.S3FileSystem()
    seen = {"the error": str(caught.value).encode()}
    seen |= {path.name: path.read_bytes() for path in run.folder.glob("*.log")}
    seen |= {path: store.cat_file(path) for path in store.find(bucket)}
    seen |= tracked(postgres)
    assert b"build_events" in seen["run.log"]
    assert seen["params"]
    for name, secret in run.secrets.items():
        forms = (secret.encode(), quote(secret, safe="").encode())
        found = [where for where, text in seen.items() if any(form in text for form in forms)]
        assert not found, f"the password of {name}"


def tracked(postgres):
    """Every table of MLflow's database as text, by its name."""
    with psycopg.connect(postgres.url("mlflow")) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        tables = {}
        for (name,) in names:
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT') as rows:
                tables[name] = b"".join(rows)
        return tables
