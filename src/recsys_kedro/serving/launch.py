"""``python -m recsys_kedro.serving.launch <model>``: ``mlflow models serve``, set up as it must be.

What the stock command takes from the environment only is decided here, once, for ``make serve``
and for the benchmarks.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from recsys_kedro.serving.registered_models import CHAMPION, missing_champion

HOST = "127.0.0.1"
# A worker computes with one thread: several of them share the cores.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
UVICORN = {
    # Without these two, answers on kept-alive connections wait 40 ms for an acknowledgement
    # where there are several workers (uvicorn issue 3149).
    "UVICORN_LOOP": "uvloop",
    "UVICORN_HTTP": "httptools",
    "UVICORN_ACCESS_LOG": "false",  # the metrics count, the impressions say what was shown
}
MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"


def command(model_uri: str, host: str, port: int, workers: int) -> list[str]:
    """The stock command on a model, out of the environment that this runs in."""
    return [
        *(str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", model_uri),
        *("--env-manager", "local", "--host", host, "--port", str(port)),
        *("--workers", str(workers)),
    ]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """``given`` with what a server needs; what is set already stays.

    The workers count in files of a new folder (see ``telemetry``).
    """
    binaries = str(Path(sys.executable).parent)
    needed = dict.fromkeys(ONE_THREAD, "1") | UVICORN
    if MULTIPROC_DIR not in given:
        needed[MULTIPROC_DIR] = tempfile.mkdtemp(prefix="recsys_metrics_")
    return {**needed, **given, "PATH": binaries + os.pathsep + given.get("PATH", "")}


def main() -> None:
    """Check that there is a champion, and become the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="name in the registry, such as recsys_online_retail")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    missing = missing_champion(asked.model)
    if missing is not None:
        sys.exit(missing)
    uri = f"models:/{asked.model}@{CHAMPION}"
    arguments = command(uri, asked.host, asked.port, asked.workers)
    os.execve(arguments[0], arguments, environment(os.environ))


if __name__ == "__main__":
    main()
