"""The peers' own virtual environment, made once and again when its requirements change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import report

REQUIREMENTS = report.ROOT / "benchmarks" / "peers_requirements.txt"
FOLDER = report.ROOT / "data" / "benchmarks" / "peers" / ".venv"
IMPORTS = "import lightgbm, pyarrow.parquet, rectools.models, safetensors"


class UnavailableError(RuntimeError):
    """The peers' packages cannot be installed; the message says why."""


def peers_python(folder: Path = FOLDER, requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of the peers' environment, which is made where it is missing.

    Raises:
        UnavailableError: if the packages cannot be installed.
    """
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing the peers into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in [*_commands(folder, requirements), [str(python), "-c", IMPORTS]]:
        _call(command)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _commands(folder: Path, requirements: Path) -> list[list[str]]:
    """With uv where there is one, else with pip."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    python = str(folder / "bin" / "python")
    if uv is None:
        make = [sys.executable, "-m", "venv", str(folder)]
        return [make, [python, "-m", "pip", "install", "--quiet", "-r", str(requirements)]]
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    return [make, [uv, "pip", "install", "--quiet", "--python", python, "-r", str(requirements)]]


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, env=installer_environment(), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UnavailableError(str(error)) from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise UnavailableError(" ".join(lines[-3:]) or f"{command[0]} ended with {done.returncode}")


def installer_environment() -> dict[str, str]:
    """The variables of this process; uv is told what pip is told (as the Makefile does)."""
    told = dict(os.environ)
    for pip, uv in (("PIP_FIND_LINKS", "UV_FIND_LINKS"), ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")):
        if pip in told:
            told.setdefault(uv, told[pip])
    return told
