"""A port beside the server's own, for operators: metrics of all workers, and health.

``mlflow models serve`` has no routes to add to, and its own ``/health`` says only that a model
was loaded. Here are

``/metrics``
    Prometheus' text format, see ``telemetry``.
``/health/live``
    200: a worker is running.
``/health/ready``
    200: the worker that holds the port has loaded its model and answered with it; else 503. The
    body says what it does without (Redis, the impression log), and how many workers are ready.

One worker holds the port; the others try again every few seconds, and one of them takes over
when it dies. A worker that loads takes no requests, so one that is ready means that requests are
answered. Whoever wants all of them compares ``workers_ready`` with the number that was started.
"""

import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from recsys_kedro.serving.health import Health
from recsys_kedro.serving.telemetry import MULTIPROC_DIR, Telemetry

LOGGER = logging.getLogger(__name__)

RETRY_AFTER_S = 3.0
JSON = "application/json"

Page = tuple[HTTPStatus, str, bytes]


class MetricsPort:
    """Serves the metrics and the health of a server, from one of its workers at a time."""

    def __init__(
        self,
        host: str,
        port: int,
        telemetry: Telemetry,
        health: Health,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        """Start the thread that gets hold of the port.

        Args:
            host: address to listen on.
            port: 0 for any that is free; the log says which.
            telemetry: of this worker.
            health: of this worker.
            retry_after_s: seconds between attempts while another worker holds the port.
        """
        self._address, self._retry_after_s = (host, port), retry_after_s
        self._telemetry, self._health = telemetry, health
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the port."""
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join()

    def _run(self) -> None:
        said = ""
        while not self._closing.is_set():
            try:
                self._server = _Server(self._address, self._pages())
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    self._say(error)
                self._closing.wait(self._retry_after_s)
                continue
            with self._server as server:
                LOGGER.info("metrics and health are on http://%s:%d", *server.server_address[:2])
                server.serve_forever()

    def _say(self, error: OSError) -> None:
        """All workers but one find the port taken: no trouble, if they count together."""
        host, port = self._address
        if self._telemetry.counts_for_all and error.errno == errno.EADDRINUSE:
            LOGGER.info("another worker has %s:%d", host, port)
            return
        LOGGER.warning(
            "this worker's metrics are not shown, %s:%d is not to be had (%s); several workers "
            "can share a port if %s names a folder",
            host,
            port,
            error,
            MULTIPROC_DIR,
        )

    def _pages(self) -> dict[str, Callable[[], Page]]:
        return {
            "/metrics": self._metrics,
            "/health/live": lambda: _json(HTTPStatus.OK, {"live": True, "worker": os.getpid()}),
            "/health/ready": self._ready,
        }

    def _metrics(self) -> Page:
        return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self._telemetry.exposition()

    def _ready(self) -> Page:
        report = self._health.report()
        status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
        workers = {"worker": os.getpid(), "workers_ready": self._telemetry.workers_ready()}
        return _json(status, asdict(report) | workers)


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], pages: Mapping[str, Callable[[], Page]]) -> None:
        self.pages = pages
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            status, kind, body = page()
        except Exception:
            LOGGER.exception("%s could not be made", self.path)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes come every few seconds: not worth a line each."""


def _json(status: HTTPStatus, body: Mapping[str, Any]) -> Page:
    return status, JSON, json.dumps(body).encode()
