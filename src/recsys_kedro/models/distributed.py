"""Work that several processes of one machine share: started, kept in step, ended together.

The processes begin with the same copy of the work; its arrays are mapped from one file each,
not copied. What they tell one another goes through gloo, or NCCL where each has a GPU.
"""

import pickle
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import ProcessException, spawn

Result = TypeVar("Result")

WORK_FILE, RESULT_FILE, MEETING_FILE = "work.pickle", "result.pickle", "meeting"
FAULT_SUFFIX = ".fault"
LONGEST_WAIT = timedelta(hours=2)  # for another process that is alive, e.g. while it validates


@dataclass(frozen=True)
class Peers:
    """The processes of one fit, as one of them sees it; alone it waits for nobody.

    Attributes:
        device: where this process computes.
        rank: its number, from 0.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one validates and writes what the fit leaves on disk."""
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by its mean over the processes; the same bits in all of them."""
        if self.count == 1:
            return
        dense: list[Tensor] = []
        for parameter in network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad.is_sparse:
                parameter.grad = _mean_of_rows(parameter.grad.coalesce(), self.count)
            else:
                dense.append(parameter.grad)
        flat = torch.cat([gradient.flatten() for gradient in dense])
        distributed.all_reduce(flat)
        parts = torch.split(flat / self.count, [gradient.numel() for gradient in dense])
        for gradient, part in zip(dense, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Each figure's mean over the processes."""
        if self.count == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(values)
        return dict(zip(figures, (values / self.count).tolist(), strict=True))

    def from_first(self, compute: Callable[[], Mapping[str, float]]) -> dict[str, float]:
        """What the first process computes, told to all."""
        told = [dict(compute()) if self.is_first else None]
        if self.count > 1:
            distributed.broadcast_object_list(told, src=0, device=self.device)
        return told[0] or {}


def _mean_of_rows(gradient: Tensor, count: int) -> Tensor:
    """The mean of row-wise gradients: the rows that any process touched.

    The numbers of rows differ, so all send as many as the largest has, padded with zeros.
    """
    rows = torch.tensor([gradient.values().shape[0]], device=gradient.device)
    sizes = _from_all(rows, count)
    most = int(torch.stack(sizes).max())
    padding = most - int(rows)
    index = nn.functional.pad(gradient.indices()[0], (0, padding))
    values = nn.functional.pad(gradient.values(), (0, 0, 0, padding))
    every_index, every_value = _from_all(index, count), _from_all(values, count)
    summed = torch.sparse_coo_tensor(
        torch.cat([part[: int(size)] for part, size in zip(every_index, sizes, strict=True)])[None],
        torch.cat([part[: int(size)] for part, size in zip(every_value, sizes, strict=True)]),
        gradient.shape,
        is_coalesced=False,
        check_invariants=False,
    ).coalesce()
    mean: Tensor = summed / count
    return mean.coalesce()


def _from_all(tensor: Tensor, count: int) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(count)]
    distributed.all_gather(parts, tensor)
    return parts


def run_in_processes(work: Callable[[Peers], Result], count: int, device: torch.device) -> Result:
    """Let ``count`` new processes do the work side by side; the first one's result.

    Args:
        work: picklable; gets the processes as its own one sees them.
        count: how many.
        device: CUDA: one GPU each, in turn where there are fewer; otherwise the CPU's cores
            are shared out.

    Raises:
        RuntimeError: one of them failed or was killed; the others are stopped.
    """
    with tempfile.TemporaryDirectory(prefix="recsys_kedro_") as name:
        folder = Path(name)
        _write(work, folder)
        threads = max(torch.get_num_threads() // count, 1)
        start: Callable[..., Any] = spawn
        context = start(
            _take_part, (name, count, device.type, threads), nprocs=count, join=False, daemon=True
        )
        try:
            while not context.join():
                pass
        except ProcessException as error:
            codes = [process.exitcode or 0 for process in context.processes]
            raise RuntimeError(_in_words(codes, _first_fault(folder) or str(error))) from error
        result: Result = pickle.loads((folder / RESULT_FILE).read_bytes())
        return result


def _take_part(rank: int, folder: str, count: int, device_type: str, threads: int) -> None:
    """What each process does."""
    torch.set_num_threads(threads)
    cuda = device_type == "cuda"
    device = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if cuda and count <= torch.cuda.device_count() else "gloo",
        init_method=f"file://{folder}/{MEETING_FILE}",
        rank=rank,
        world_size=count,
        timeout=LONGEST_WAIT,
    )
    try:
        result = _read(Path(folder))(Peers(device, rank, count))
        if rank == 0:
            (Path(folder) / RESULT_FILE).write_bytes(pickle.dumps(result))
    except Exception:
        # Before the others notice that this one is gone.
        text = f"process {rank} failed: {traceback.format_exc()}"
        (Path(folder) / f"{time.monotonic_ns():020d}{FAULT_SUFFIX}").write_text(text, "utf-8")
        raise
    finally:
        distributed.destroy_process_group()


def _write(work: object, folder: Path) -> None:
    """The work as a pickle of our own for our own processes, its arrays in files beside it."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(work, protocol=5, buffer_callback=arrays.append)
    (folder / WORK_FILE).write_bytes(head)
    for number, array in enumerate(arrays):
        (folder / f"{number:06d}.array").write_bytes(array.raw())


def _read(folder: Path) -> Callable[[Peers], object]:
    """The work; its arrays stay in their files until they are written to."""
    paths = sorted(folder.glob("*.array"))
    arrays = [np.memmap(path, np.uint8, "c") if path.stat().st_size else b"" for path in paths]
    work: Callable[[Peers], object] = pickle.loads(
        (folder / WORK_FILE).read_bytes(), buffers=arrays
    )
    return work


def _first_fault(folder: Path) -> str:
    """What failed first; the faults after it only tell that a process is missed."""
    faults = sorted(folder.glob(f"*{FAULT_SUFFIX}"))
    return faults[0].read_text("utf-8") if faults else ""


def _in_words(codes: list[int], fault: str) -> str:
    """Who was killed, if anybody was: the others then only miss it."""
    killed = [
        f"process {rank} was ended by {signal.Signals(-code).name}"
        for rank, code in enumerate(codes)
        if code < 0 and -code != signal.SIGTERM
    ]
    what = f"{', '.join(killed)} (is there enough memory?)" if killed else fault
    return (
        f"training.processes: {what}. The others were stopped. With training.checkpoint_folder "
        f"the next run goes on after the last whole epoch."
    )
