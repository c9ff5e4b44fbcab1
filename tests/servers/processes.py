"""Servers of one's own: a free port, and a process that ends with the test."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

DEADLINE_S = 120


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(command, port, log, ready=None, **environment):
    """A process and its children, from when it is ready until the end of the block.

    Args:
        command: the program and its arguments.
        port: that it will listen on.
        log: the file that it writes to.
        ready: tells whether it answers; empty: whether something listens.
        environment: variables beside those of this process.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (ready or listens)(port):
            assert process.poll() is None, f"{command} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{command} does not answer:\n{log.read_text()}"
            time.sleep(0.05)
        yield process
    finally:
        stop(process)


def listens(port):
    """Whether anybody does."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def stop(process):
    """End the process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
