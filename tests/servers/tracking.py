"""A real MLflow server with PostgreSQL behind it and its artifacts on S3."""

import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from servers.processes import free_port, running


@contextmanager
def mlflow_server(database_url, artifacts, log):
    """Its address.

    Args:
        database_url: as SQLAlchemy takes it.
        artifacts: ``s3://…``.
        log: the file that it writes to.
    """
    port = free_port()
    command = [
        *(str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--artifacts-destination", artifacts),
    ]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": database_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that nobody needs
    }
    with running(command, port, log, ready=is_healthy, **environment):
        yield f"http://127.0.0.1:{port}"


def is_healthy(port):
    """Whether the server on a port of this machine says so; MLflow's and its scoring server's."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
