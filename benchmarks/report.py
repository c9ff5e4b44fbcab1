"""One JSON file per benchmark: a flat object of figures, their units in the keys."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "08_reporting" / "benchmarks"


def seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """How long each of ``repeats`` runs takes, wall clock."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def timing(taken: list[float]) -> dict[str, float]:
    """Median and extremes of some durations in seconds."""
    return {
        "repeats": len(taken),
        "seconds": round(statistics.median(taken), 4),
        "seconds_fastest": round(min(taken), 4),
        "seconds_slowest": round(max(taken), 4),
    }


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, imports included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def write_report(name: str, figures: dict[str, float | int | str]) -> Path:
    """Write ``<name>.json`` with the figures, the commit and the machine; print it too."""
    report = {
        **figures,
        "commit": commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(path.relative_to(ROOT), json.dumps(report, indent=2), sep="\n")
    return path


def commit() -> str:
    """The commit that is measured; with a plus sign where files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "none"
    return head + ("+" if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    """The model's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
