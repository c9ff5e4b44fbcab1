"""A run that is killed at any node leaves nothing that the next run would trip over."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
KILLED_AT = (
    "screen_events",
    "build_events",
    "build_product_snapshots",
    "build_lists",
    "choose_hybrid",
    "evaluate",
    "fit_on_everything",
    "register_model",
)
GLOBALS = "{shop: killed, data: '${oc.env:TESTS_FOLDER}/data'}"
TRACKING = """
server: {mlflow_tracking_uri: "sqlite:///${oc.env:TESTS_FOLDER}/mlflow.db"}
tracking:
  experiment: {create_experiment_kwargs: {artifact_location: "${oc.env:TESTS_FOLDER}/mlartifacts"}}
"""
# They tell whether there was a champion before, and which version it became.
OF_THE_CHAMPION = {
    "champion_recipe.json", "champion.parquet", "promotion.json", "registration.json",
}  # fmt: skip


@pytest.fixture
def kedro_run(conf, tmp_path):
    """Runs the test shop in a folder of its own, to the end or until a node is at work."""
    (conf / "test" / "globals.yml").write_text(GLOBALS)
    (conf / "test" / "mlflow.yml").write_text(TRACKING)
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--env=test"]

    def run(until=None):
        environment = {"TESTS_FOLDER": str(tmp_path), "COLUMNS": "400", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [*command, f"--conf-source={conf}"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = []
        with process:
            for line in process.stdout:
                lines.append(line)
                if until is not None and f"Running node: {until}:" in line:
                    os.killpg(process.pid, signal.SIGKILL)
        wanted = 0 if until is None else -signal.SIGKILL
        assert process.returncode == wanted, "".join(lines[-60:])
        return tmp_path / "data"

    return run


def digests(data):
    """SHA-256 of what every file holds that a run wrote, by its path."""
    return {
        str(path.relative_to(data)): hashlib.sha256(content(path)).hexdigest()
        for path in sorted(data.rglob("0*/**/*"))
        if path.is_file() and path.name not in OF_THE_CHAMPION
    }


def content(path):
    """A file's bytes, without how long a fit took and the order of a safetensors' header."""
    if path.suffix != ".safetensors":
        return re.sub(rb'"seconds": [\d.]+', b"", path.read_bytes())
    with safe_open(path, "np") as file:
        header = repr(sorted((file.metadata() or {}).items()))
        arrays = [name.encode() + file.get_tensor(name).tobytes() for name in sorted(file.keys())]
    return header.encode() + b"".join(arrays)


@pytest.mark.slow
def test_run_after_killed_runs_gives_what_an_undisturbed_one_gives(kedro_run, tmp_path):
    undisturbed = digests(kedro_run())
    for left in ("data", "mlartifacts"):
        shutil.rmtree(tmp_path / left)
    (tmp_path / "mlflow.db").unlink()
    for node in KILLED_AT:
        kedro_run(until=node)
    assert len(undisturbed) > 40
    assert digests(kedro_run()) == undisturbed
