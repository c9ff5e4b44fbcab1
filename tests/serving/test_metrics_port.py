import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recsys_kedro.serving.health import Health
from recsys_kedro.serving.metrics_port import MetricsPort
from recsys_kedro.serving.telemetry import Telemetry

HOST = "127.0.0.1"
WORKER = """
import sys
from recsys_kedro.serving.health import Health
from recsys_kedro.serving.metrics_port import MetricsPort
from recsys_kedro.serving.telemetry import Telemetry

telemetry, health = Telemetry(), Health()
MetricsPort("127.0.0.1", int(sys.argv[1]), telemetry, health, retry_after_s=0.05)
telemetry.observe("rank", 0.004)
telemetry.impressions_queued(3)
telemetry.store_breaker(is_open=True)
telemetry.ready("hybrid", "7")
health.ready("hybrid", "7")
sys.stdin.read()
"""


def get(port, path):
    """Status, type and body; no status while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers["Content-Type"], answer.read().decode()
    except OSError:
        return None, None, ""


def until(value, expected, seconds=30):
    end = time.monotonic() + seconds
    while (got := value()) != expected:
        assert time.monotonic() < end, f"still {got}"
        time.sleep(0.02)


@pytest.fixture
def free_port():
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


@pytest.fixture
def worker(free_port):
    """The telemetry and the health of a worker that has the port."""
    telemetry, health = Telemetry(), Health()
    port = MetricsPort(HOST, free_port, telemetry, health)
    until(lambda: get(free_port, "/health/live")[0], 200)
    yield telemetry, health
    port.close()


def test_metrics_are_what_prometheus_reads(worker, free_port):
    telemetry, _ = worker
    telemetry.observe("rank", 0.004)
    status, kind, body = get(free_port, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=0.0.4")
    assert "recsys_stage_seconds" in {
        family.name for family in text_string_to_metric_families(body)
    }


def test_live_before_it_is_ready(worker, free_port):
    telemetry, health = worker
    status, kind, body = get(free_port, "/health/live")
    assert (status, kind, json.loads(body)) == (
        200,
        "application/json",
        {"live": True, "worker": os.getpid()},
    )
    status, _, body = get(free_port, "/health/ready")
    assert status == 503
    assert json.loads(body)["ready"] is False
    telemetry.ready("hybrid", "7")
    health.ready("hybrid", "7")
    status, _, body = get(free_port, "/health/ready")
    assert (status, json.loads(body)) == (
        200,
        {
            "ready": True,
            "degraded": {},
            "model": "hybrid/7",
            "worker": os.getpid(),
            "workers_ready": 1,
        },
    )


def test_ready_without_redis_but_it_says_so(worker, free_port):
    _, health = worker
    health.ready("hybrid", "7")
    health.watch("redis", lambda: "does not answer")
    status, _, body = get(free_port, "/health/ready?verbose=1")
    assert status == 200
    assert json.loads(body)["degraded"] == {"redis": "does not answer"}


def test_other_paths_are_not_found(worker, free_port):
    assert get(free_port, "/")[0] == 404
    assert get(free_port, "/metrics/more")[0] == 404


def test_a_page_that_cannot_be_made_is_an_error_and_the_next_is_made(
    worker, free_port, monkeypatch, caplog
):
    telemetry, _ = worker
    with monkeypatch.context() as broken:
        broken.setattr(telemetry, "exposition", lambda: 1 / 0)
        assert get(free_port, "/metrics")[0] == 500
    assert "/metrics could not be made" in caplog.text
    assert get(free_port, "/metrics")[0] == 200


def test_any_free_port(caplog):
    caplog.set_level(logging.INFO)
    port = MetricsPort(HOST, 0, Telemetry(), Health())
    until(lambda: "metrics and health are on http" in caplog.text, True)
    number = int(caplog.text.rsplit(":", 1)[1])
    assert get(number, "/health/live")[0] == 200
    port.close()
    assert get(number, "/health/live")[0] is None


def test_a_port_that_is_taken_is_tried_again_and_complained_of_once(free_port, caplog):
    with socket.create_server((HOST, free_port)):
        port = MetricsPort(HOST, free_port, Telemetry(), Health(), retry_after_s=0.01)
        until(lambda: "PROMETHEUS_MULTIPROC_DIR" in caplog.text, True)
        time.sleep(0.1)
    until(lambda: get(free_port, "/health/live")[0], 200)
    assert caplog.text.count("are not shown") == 1
    port.close()


def test_workers_add_up_and_one_takes_over_when_the_other_is_killed(tmp_path, free_port):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    command = [sys.executable, "-c", WORKER, str(free_port)]

    def ready():
        status, _, body = get(free_port, "/health/ready")
        return status and json.loads(body)["workers_ready"]

    def counted():
        families = text_string_to_metric_families(get(free_port, "/metrics")[2])
        values = {sample.name: sample.value for family in families for sample in family.samples}
        names = ("stage_seconds_count", "impressions_queued", "store_breaker_open")
        return [values[f"recsys_{name}"] for name in names]

    workers = [subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) for _ in range(2)]
    try:
        until(ready, 2)
        assert counted() == [2, 2 * 3, 2]
        holder = json.loads(get(free_port, "/health/live")[2])["worker"]
        (killed,) = (each for each in workers if each.pid == holder)
        (other,) = (each for each in workers if each.pid != holder)
        killed.kill()
        killed.wait()
        until(ready, 1)
        assert json.loads(get(free_port, "/health/live")[2])["worker"] == other.pid
        assert counted() == [2, 3, 1]  # what the other had counted stays, its state goes
    finally:
        for each in workers:
            each.kill()
            each.communicate()
