"""``mlflow models serve`` as `make serve` starts it: workers, metrics, graceful stop, hand-over."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from recsys_kedro import columns as c
from recsys_kedro.serving import launch
from recsys_kedro.serving.impression_files import read_impressions

WORKERS = 2
UP_WITHIN_S = 120  # a machine that runs tests beside it is slow


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Launched:
    """A server in processes of its own."""

    def __init__(self, model, folder):
        self.port, self.metrics_port, self.folder = free_port(), free_port(), folder
        options = {
            "RECSYS_METRICS_PORT": str(self.metrics_port),
            "RECSYS_IMPRESSIONS_FOLDER": str(folder / "impressions"),
            "RECSYS_EXPLORATION": "0.2",
            "RECSYS_JSON_LOGS": "true",
        }
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                launch.command(str(model), launch.HOST, self.port, WORKERS),
                env=launch.environment({**os.environ, **options}),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self):
        """Until all workers have answered."""
        until = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                ready = httpx.get(self.metrics("/health/ready"), timeout=5)
                if ready.status_code == 200 and ready.json()["workers_ready"] == WORKERS:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail(self.log.read_text()[-3_000:])

    def metrics(self, path):
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/invocations"

    def workers(self):
        """The processes that serve: those with a model in their memory."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    stat = (folder / "stat").read_text().rpartition(")")[2].split()
                    maps = (folder / "maps").read_text()
                except OSError:
                    continue
                if int(stat[2]) == self.process.pid and "network.safetensors" in maps:
                    found.append(maps)
        return found

    def stop(self):
        """As an operator does; whatever is left after that is killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def launched(logged_model, tmp_path_factory):
    """Two servers, as before and after a new champion: both start at once."""
    servers = [Launched(logged_model, tmp_path_factory.mktemp(name)) for name in ("old", "new")]
    yield [server.wait() for server in servers]
    for server in servers:
        if server.process.poll() is None:
            server.stop()


class Shopper(threading.Thread):
    """Asks again and again, whichever server it is told to; keeps what it was answered."""

    def __init__(self, url):
        super().__init__()
        self.url, self.answers, self.failures = url, [], []
        self.enough = threading.Event()

    def run(self):
        number = 0
        with httpx.Client(timeout=30) as client:
            while not self.enough.is_set():
                number += 1
                body = {"inputs": [{"user_id": f"U{number % 400:03}", "k": 5}]}
                try:
                    response = client.post(self.url, json=body)
                    response.raise_for_status()
                    self.answers += response.json()["predictions"]
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))


def test_workers_share_the_weights_and_use_the_fast_loop(launched):
    workers = launched[0].workers()
    assert len(workers) == WORKERS
    for maps in workers:
        assert "uvloop" in maps
        assert "httptools" in maps
        assert "scorers.safetensors" in maps
        assert "histories.arrow" in maps


def test_metrics_count_all_workers(launched):
    def requests():
        text = httpx.get(launched[1].metrics("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("recsys_requests_total{")]
        return sum(float(line.split()[-1]) for line in lines), text

    before, _ = requests()
    for _ in range(20):
        httpx.post(launched[1].url, json={"inputs": [{"user_id": "U001"}]}).raise_for_status()
    after, text = requests()
    assert after - before == 20
    for stage in ("check", "store", "rank", "arrange", "total"):
        assert f'recsys_stage_seconds_count{{stage="{stage}"}}' in text
    assert httpx.get(launched[1].metrics("/health/live")).status_code == 200


def test_a_new_champion_takes_over_without_a_dropped_request(launched):
    """Start, wait until ready, switch, drain: the old one ends when nobody asks it any more.

    Nothing of what either has shown is missing in the logs.
    """
    old, new = launched
    shoppers = [Shopper(old.url) for _ in range(3)]
    for shopper in shoppers:
        shopper.start()
    time.sleep(1)
    for shopper in shoppers:
        shopper.url = new.url
    time.sleep(0.5)  # requests under way come to their end
    old.stop()
    time.sleep(0.5)
    for shopper in shoppers:
        shopper.enough.set()
        shopper.join()
    new.stop()
    assert [failure for shopper in shoppers for failure in shopper.failures] == []
    answers = {
        answer[c.RECOMMENDATION_ID]: [item[c.PRODUCT_ID] for item in answer["items"]]
        for shopper in shoppers
        for answer in shopper.answers
    }
    assert len(answers) > 50
    logged = {
        id_: products
        for server in (old, new)
        for id_, products in read_impressions(server.folder / "impressions")
        .group_by(c.RECOMMENDATION_ID, maintain_order=True)
        .agg(c.PRODUCT_ID)
        .iter_rows()
    }
    assert answers.keys() - logged.keys() == set()
    assert all(logged[id_] == products for id_, products in answers.items())


def test_logs_are_json(launched):
    lines = [line for line in launched[0].log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all({"time", "level", "message"} <= json.loads(line).keys() for line in lines)
