"""What the processes of the tests do; they import this and not the tests, so they start sooner."""

import os
import signal

import torch
from torch import nn

from recsys_kedro.models.training import SCORE, Task

ROWS = 12


class Net(nn.Module):
    """Id embeddings with sparse gradients, and a dense layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.ids = nn.Embedding(10, 4, sparse=True)
        self.dense = nn.Linear(4, 1)

    def forward(self, index):
        return self.dense(self.ids(index)).squeeze(1)


def make_task(folder, peers, killed=None):
    """Every process learns from every second of 12 ids and writes down which.

    The first validates: best after its first epoch; another one would say otherwise.
    """
    network = Net()
    scores = iter([0.5, 0.1, 0.2] if peers.is_first else [0.1, 0.2, 0.3])

    def batches(epoch):
        if peers.rank == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        ids = torch.randint(5, (ROWS,), generator=torch.Generator().manual_seed(epoch))
        share = torch.arange(ROWS)[peers.rank :: peers.count]
        (folder / f"{peers.rank}_{epoch}.txt").write_text(" ".join(map(str, share.tolist())))
        return [ids[share]]

    def losses(index):
        return {"square": ((network(index) - index.float()) ** 2).mean()}

    return Task(network, batches, 1, losses, lambda: {SCORE: next(scores)}, "data")


def average(array, empty, peers):
    """Gradients of both, and what became of the arrays.

    Rank 0 touches the rows 1 and 2 (twice), rank 1 the rows 2 and 3 (twice); the dense gradient
    is the rank.
    """
    network = Net()
    rows = torch.tensor([[1, 2, 2], [2, 3, 3]][peers.rank])
    network.ids(rows).sum().backward()
    network.dense.weight.grad = torch.full((1, 4), float(peers.rank))
    peers.average_gradients(network)
    array += peers.rank  # writable, and nobody else's
    gradients = (
        network.ids.weight.grad.coalesce(),
        network.dense.weight.grad,
        network.dense.bias.grad,
    )
    return gradients, (array.tolist(), array.flags.owndata, empty.shape)


def fail(peers):
    """Rank 1 fails while rank 0 waits for it."""
    if peers.rank == 1:
        raise ValueError("a fault of rank 1")
    peers.mean({"waits": 1.0})
