"""One training loop: device, mixed precision, schedule, early stopping, checkpoints, resume."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from recsys_kedro.models.base import Enough
from recsys_kedro.models.distributed import Peers, run_in_processes
from recsys_kedro.options import Options

SCORE = "validation_ndcg@10"
RANK_APART = 500_009  # between the random streams of two processes


class TrainingOptions(Options):
    """How long and how fast to learn."""

    epochs: int = Field(5, ge=1, description="passes over the training lists; the schedule's end")
    stop_after: int | None = Field(
        None, ge=1, description="epochs to really train; empty: validation decides, else all"
    )
    patience: int = Field(4, ge=1, description="epochs without a better validation before stopping")
    batch_size: int = Field(128, ge=1, description="queries per step")
    learning_rate: float = Field(2e-3, gt=0, description="peak of the schedule")
    id_learning_rate: float = Field(2e-4, gt=0, description="the same for the id embeddings")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of all steps with a rising rate")
    weight_decay: float = Field(1e-4, ge=0, description="of all but the id embeddings")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient")
    device: str = Field("auto", description="auto, cuda, mps or cpu")
    processes: int = Field(
        1, ge=1, description="of this machine, that share every batch; each its GPU or cores"
    )
    mixed_precision: bool | None = Field(
        None, description="bfloat16 arithmetic; empty: on CUDA only"
    )
    checkpoint_folder: Path | None = Field(
        None, description="where an interrupted fit is kept and taken up again; empty: nowhere"
    )
    weights_folder: Path | None = Field(
        None, description="where fits leave weights for later ones to begin with; empty: nowhere"
    )


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        network: the module; its weights are changed in place.
        batches: the batches of an epoch, by its number from 0; the same number gives the same.
        steps: how many batches an epoch has.
        losses: batch to the named parts of the loss; their sum is minimised.
        validate: the validation figures now (``SCORE`` among them), or None without validation.
        fingerprint: what the data is, so that a checkpoint of other data is not taken up.
        enough: whether the epochs so far are enough; see ``Validation``.
    """

    network: nn.Module
    batches: Callable[[int], Iterable[Any]]
    steps: int
    losses: Callable[[Any], Mapping[str, Tensor]]
    validate: Callable[[], Mapping[str, float]] | None
    fingerprint: str
    enough: Enough | None = None


@dataclass
class Progress:
    """Where training stands: all of it goes into the checkpoint."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -1.0


def choose_device(name: str) -> torch.device:
    """CUDA, else Apple's MPS, else the CPU; or the one that is named."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def train_in_processes(
    make_task: Callable[[Peers], Task], options: TrainingOptions, seed: int
) -> tuple[dict[str, Tensor], Progress]:
    """Train in ``options.processes`` processes of their own; the weights, on the CPU.

    Args:
        make_task: picklable; the task on a process's device with its share of the batches. All
            begin with the same weights; only the first one's ``validate`` is called.
        options: as for :func:`train`.
        seed: as for :func:`train`; each process has random streams of its own.
    """
    device = choose_device(options.device)
    work = partial(_train_beside, make_task, options, seed)
    return run_in_processes(work, options.processes, device)


def _train_beside(
    make_task: Callable[[Peers], Task], options: TrainingOptions, seed: int, peers: Peers
) -> tuple[dict[str, Tensor], Progress]:
    task = make_task(peers)
    progress = train(task, options, seed, peers)
    return {name: value.cpu() for name, value in task.network.state_dict().items()}, progress


def train(task: Task, options: TrainingOptions, seed: int, peers: Peers | None = None) -> Progress:
    """Train in place; the best weights by validation (else the last) are in the network.

    A fit that was killed goes on after its last whole epoch and ends with the same weights:
    each epoch has random streams of its own.

    Args:
        task: what is learned; its network is on its device already.
        options: how long and how fast.
        seed: of dropout.
        peers: the processes that share each batch; empty: this one is alone.
    """
    peers = peers or Peers(next(task.network.parameters()).device)
    optimizers = _optimizers(task.network, options)
    schedulers = [_schedule(optimizer, task.steps, options) for optimizer in optimizers]
    store = _Checkpoint(options, task.fingerprint, seed, writes=peers.is_first)
    progress = store.resume(task.network, optimizers, schedulers)
    last_epoch = options.stop_after or options.epochs
    for epoch in range(len(progress.epochs), min(last_epoch, options.epochs)):
        if task.validate and epoch - progress.best_epoch >= options.patience:
            break
        if task.enough and progress.epochs and task.enough(progress.epochs):
            break
        torch.manual_seed(seed * 1_000_003 + epoch + peers.rank * RANK_APART)
        started = perf_counter()
        figures = peers.mean(_train_epoch(task, options, optimizers, schedulers, epoch, peers))
        figures["seconds"] = perf_counter() - started
        figures |= peers.from_first(task.validate) if task.validate else {}
        progress.epochs.append({"epoch": epoch + 1, **figures})
        if not task.validate or figures[SCORE] > progress.best_score:
            progress.best_epoch, progress.best_score = epoch + 1, figures.get(SCORE, -1.0)
            store.keep_best(task.network)
        store.save(task.network, optimizers, schedulers, progress)
    store.load_best(task.network)
    return progress


def _train_epoch(
    task: Task,
    options: TrainingOptions,
    optimizers: list[torch.optim.Optimizer],
    schedulers: list[torch.optim.lr_scheduler.LRScheduler],
    epoch: int,
    peers: Peers,
) -> dict[str, float]:
    """One pass; the mean of each part of the loss."""
    task.network.train()
    device = peers.device
    mixed = options.mixed_precision if options.mixed_precision is not None else _is_cuda(device)
    totals: dict[str, float] = {}
    quiet = None if peers.is_first else True  # None: only where nobody watches
    bar = tqdm(
        task.batches(epoch), total=task.steps, desc=f"epoch {epoch + 1}", leave=False, disable=quiet
    )
    for batch in bar:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            losses = task.losses(batch)
            loss = torch.stack(list(losses.values())).sum()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        peers.average_gradients(task.network)
        _clip(task.network, options.clip_norm)
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach())
        bar.set_postfix(loss=f"{float(loss.detach()):.4f}")
    task.network.eval()
    return {f"loss_{name}": total / task.steps for name, total in totals.items()}


def _is_cuda(device: torch.device) -> bool:
    return device.type == "cuda"


def _sparse_parameters(network: nn.Module) -> set[nn.Parameter]:
    """Weights of embeddings whose gradient has only the rows that a batch touched."""
    return {
        parameter
        for module in network.modules()
        if isinstance(module, nn.Embedding) and module.sparse
        for parameter in module.parameters()
    }


def _optimizers(network: nn.Module, options: TrainingOptions) -> list[torch.optim.Optimizer]:
    """AdamW for dense weights; for id embeddings an Adam that updates only touched rows."""
    sparse = _sparse_parameters(network)
    rows = [parameter for parameter in network.parameters() if parameter in sparse]
    dense = [parameter for parameter in network.parameters() if parameter not in sparse]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, options.learning_rate, weight_decay=options.weight_decay)
    ]
    if rows:
        optimizers.append(torch.optim.SparseAdam(rows, options.id_learning_rate))
    return optimizers


def _schedule(
    optimizer: torch.optim.Optimizer, steps: int, options: TrainingOptions
) -> torch.optim.lr_scheduler.LRScheduler:
    """A linear warm-up, then a half cosine to zero over all epochs."""
    total = steps * options.epochs
    warm = max(int(total * options.warm_up), 1)

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(total - warm, 1)
        return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(done, 1.0)))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _clip(network: nn.Module, norm: float) -> None:
    """Scale all gradients so that their common norm is at most ``norm``; sparse ones too."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    values = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(v) for v in values]))
    scale = torch.clamp(norm / (total + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


class _Checkpoint:
    """An interrupted fit on disk: weights as safetensors, the optimizers' state beside them."""

    def __init__(
        self, options: TrainingOptions, fingerprint: str, seed: int, *, writes: bool
    ) -> None:
        self._writes = writes
        self._best: dict[str, Tensor] | None = None
        self._folder: Path | None = None
        if options.checkpoint_folder is not None:
            what = options.model_dump_json(exclude={"checkpoint_folder"})
            name = hashlib.sha256(f"{what}|{fingerprint}|{seed}".encode()).hexdigest()[:16]
            self._folder = options.checkpoint_folder / name

    def resume(
        self,
        network: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        schedulers: list[torch.optim.lr_scheduler.LRScheduler],
    ) -> Progress:
        if self._folder is None or not (self._folder / "state.pt").exists():
            return Progress()
        state = torch.load(self._folder / "state.pt", weights_only=True)
        network.load_state_dict(state["network"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self._best = load_file(self._folder / "best.safetensors")
        return Progress(**json.loads(state["progress"]))

    def keep_best(self, network: nn.Module) -> None:
        self._best = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def load_best(self, network: nn.Module) -> None:
        """Put the best weights into the network; a finished fit leaves no state to take up."""
        if self._best is not None:
            network.load_state_dict(self._best)
        if self._folder is not None and self._writes:
            # The state goes first: without it the rest is not taken up.
            (self._folder / "state.pt").unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    def save(
        self,
        network: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        schedulers: list[torch.optim.lr_scheduler.LRScheduler],
        progress: Progress,
    ) -> None:
        if self._folder is None or self._best is None or not self._writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        state = {
            "network": network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in schedulers],
            "progress": json.dumps(vars(progress)),
        }
        # Written beside and renamed: a kill while writing leaves the last whole checkpoint.
        save_file(self._best, self._folder / "best.tmp")
        (self._folder / "best.tmp").replace(self._folder / "best.safetensors")
        torch.save(state, self._folder / "state.tmp")
        (self._folder / "state.tmp").replace(self._folder / "state.pt")
