"""Locks on the datasets of a data folder: whoever writes one has it for itself."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = ".locks"


@contextmanager
def locked(folder: Path, dataset: str) -> Iterator[None]:
    """Hold the lock of a dataset; a process that ends, however it ends, holds none.

    Raises:
        RuntimeError: somebody has it; names the process and its machine.
    """
    path = folder / LOCKS / dataset
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            msg = (
                f"Another run ({file.read()}) writes '{dataset}' in {folder}. Let it end, or give "
                "this one an environment with another globals.data."
            )
            raise RuntimeError(msg) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
