"""A scoring server as its users start it, and what its processes cost."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recsys_kedro.serving import launch

START_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server that is up.

    Attributes:
        port: of ``/invocations``.
        process: the command that was started; what it started in turn is in its group.
        started_in_s: until every worker answered.
    """

    port: int
    process: subprocess.Popen[bytes]
    started_in_s: float

    @property
    def pids(self) -> list[int]:
        """The processes of the server, the launcher first."""
        group = self.process.pid
        return [group, *(pid for pid in _processes() if pid != group and _group(pid) == group)]

    @property
    def workers(self) -> list[int]:
        """Those that hold a model: more than half as much memory as the largest one."""
        sizes = {pid: pss_mib(pid) for pid in self.pids}
        return [pid for pid, size in sizes.items() if size > max(sizes.values()) / 2]

    def cpu_seconds(self) -> float:
        """What all its processes have used so far."""
        return sum(_cpu_seconds(pid) for pid in self.pids)

    def memory_mib(self) -> float:
        """Proportional set size of all processes: shared pages count once."""
        return sum(pss_mib(pid) for pid in self.pids)


@contextmanager
def serving(
    model: Path | str, workers: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """``mlflow models serve`` with the settings of ``make serve``, on a free port.

    Raises:
        RuntimeError: if it is not up within a minute; the end of its log is in the message.
    """
    port = free_port()
    command = launch.command(str(model), launch.HOST, port, workers)
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=launch.environment({**os.environ, **(environment or {})}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, port, log)
            yield Server(port, process, time.perf_counter() - began)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to finish what it has begun and end; kill the group if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(port):
            return
        time.sleep(0.05)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2_000:]
    msg = f"the server on port {port} is not up within {START_WITHIN_S:.0f} s:\n{tail}"
    raise RuntimeError(msg)


def answers(port: int) -> bool:
    """Whether the server says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the name, which may hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return []


def _group(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[2]) if fields else None


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def pss_mib(pid: int) -> float:
    """Proportional set size of one process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1_024 for line in lines if line.startswith("Pss:")), 0.0)
