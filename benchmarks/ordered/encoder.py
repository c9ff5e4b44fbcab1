"""A sequence encoder: attention over the packed past, cosine logits, shared negatives.

Shapes: B windows of a batch, E their events (packed, no padding), P items, N negatives shared
by a batch, D width, K heads.

Each head pools the events by a softmax of what an event says and how far back it is, as the
history encoder of ``recsys_kedro.models.network`` does; there are no layers over pairs of
events, so the work grows with the events and not with their square.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from ordered.data import Histories
from ordered.linear import Floats
from recsys_kedro.models.network import packed_softmax


@dataclass(frozen=True)
class EncoderOptions:
    """Size, regularisation and training of the encoder.

    Attributes:
        width: of the item vectors.
        heads: ways of pooling a history.
        longest: newest events of a history that are read.
        dropout: share of activations dropped in training.
        event_dropout: share of events that a training step overlooks.
        temperature: of the cosine logits, at the start; it is learned.
        epochs: passes over all prefixes.
        batch: prefixes per step.
        negatives: drawn per step, shared by its prefixes.
        flattening: a negative's chance is proportional to its count to this power.
        learning_rate: at its peak.
        weight_decay: of everything but the items' biases.
    """

    width: int = 64
    heads: int = 4
    longest: int = 50
    dropout: float = 0.3
    event_dropout: float = 0.2
    temperature: float = 0.07
    epochs: int = 10
    batch: int = 1_024
    negatives: int = 1_024
    flattening: float = 0.75
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2


class Batch(NamedTuple):
    """The events of B windows."""

    item_E: Tensor
    age_E: Tensor
    window_E: Tensor
    windows: int


class Encoder(nn.Module):
    """Items as id and mean attribute vectors; users as what they took, pooled."""

    def __init__(
        self, items: int, attributes_PA: sparse.csr_matrix | None, options: EncoderOptions
    ) -> None:
        super().__init__()
        width, heads = options.width, options.heads
        self.options = options
        self.identity = nn.Embedding(items, width)
        nn.init.normal_(self.identity.weight, std=0.1)
        self.attribute: nn.EmbeddingBag | None = None
        if attributes_PA is not None:
            self.attribute = nn.EmbeddingBag(attributes_PA.shape[1], width, mode="mean")
            nn.init.normal_(self.attribute.weight, std=0.1)
            self.register_buffer("listed", torch.from_numpy(attributes_PA.indices).long())
            self.register_buffer("offsets", torch.from_numpy(attributes_PA.indptr[:-1]).long())
        self.age = nn.Embedding(options.longest, width)
        nn.init.normal_(self.age.weight, std=0.02)
        self.attend = nn.Linear(width, heads)
        self.forget = nn.Parameter(torch.linspace(-2.0, 2.0, heads))
        self.widen = nn.Linear(heads * width, 2 * width)
        self.join = nn.Linear(2 * width, width)
        self.skip = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(options.dropout)
        self.bias = nn.Parameter(torch.zeros(items))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))

    def item_vectors(self) -> Tensor:
        """(P, D) an item nobody describes has its own vector alone."""
        vector_PD = self.identity.weight
        if self.attribute is not None:
            vector_PD = vector_PD + self.attribute(self.listed, self.offsets)
        return vector_PD

    def forward(self, vector_PD: Tensor, batch: Batch) -> Tensor:
        """(B, D) the users behind some windows."""
        event_ED = functional.embedding(batch.item_E, vector_PD) + self.age(batch.age_E)
        event_ED = self.dropout(event_ED)
        fading_EK = 1.5 * torch.log1p(batch.age_E.float())[:, None]
        fading_EK = fading_EK * functional.softplus(self.forget)
        logit_EK = self.attend(torch.tanh(event_ED)) - fading_EK
        if self.training and self.options.event_dropout:
            logit_EK = logit_EK - 1e4 * self.overlooked(batch)[:, None]
        weight_EK = packed_softmax(logit_EK, batch.window_E, batch.windows)
        weighted_EKD = weight_EK[:, :, None] * event_ED[:, None, :]
        pooled_BKD = weighted_EKD.new_zeros(batch.windows, *weighted_EKD.shape[1:])
        pooled_BKD = pooled_BKD.index_add(0, batch.window_E, weighted_EKD)
        hidden_BD = self.dropout(functional.gelu(self.widen(pooled_BKD.flatten(1))))
        user_BD: Tensor = self.join(hidden_BD) + self.skip * pooled_BKD.mean(dim=1)
        return user_BD

    def overlooked(self, batch: Batch) -> Tensor:
        """(E,) a random share of the events, none of windows of one event."""
        drawn_E = torch.rand(len(batch.item_E)) < self.options.event_dropout
        length_B = torch.bincount(batch.window_E, minlength=batch.windows)
        return drawn_E & (length_B[batch.window_E] > 1)

    def logits(self, user_BD: Tensor, vector_ND: Tensor, bias_N: Tensor) -> Tensor:
        """(B, N) scaled cosines and biases."""
        unit_BD, unit_ND = functional.normalize(user_BD), functional.normalize(vector_ND)
        return self.log_scale.exp() * (unit_BD @ unit_ND.T) + bias_N


def batch_of(histories: Histories) -> Batch:
    window_E, item_E, age_E = (torch.from_numpy(column) for column in histories.events())
    return Batch(item_E, age_E, window_E, len(histories))


def fit_encoder(
    histories: Histories,
    items: int,
    attributes_PA: sparse.csr_matrix | None,
    options: EncoderOptions,
    seed: int,
) -> Encoder:
    """Learn the item that follows each prefix."""
    torch.manual_seed(seed)
    encoder = Encoder(items, attributes_PA, options)
    biases = [encoder.bias]
    others = [weights for weights in encoder.parameters() if weights is not encoder.bias]
    groups = [{"params": biases, "weight_decay": 0.0}, {"params": others}]
    optimiser = torch.optim.AdamW(groups, options.learning_rate, weight_decay=options.weight_decay)
    prefixes, target_S = histories.prefixes(options.longest)
    count_P = np.bincount(histories.events().item_E, minlength=items)
    chance_P = torch.from_numpy((count_P + 1.0) ** options.flattening).float()
    chance_P /= chance_P.sum()
    steps = options.epochs * math.ceil(len(prefixes) / options.batch)
    schedule = warm_cosine(optimiser, steps, warm_up=0.05)
    encoder.train()
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(prefixes)).split(options.batch):
            some = chosen.numpy()
            loss = sampled_loss(
                encoder, batch_of(prefixes.some(some)), torch.from_numpy(target_S[some]), chance_P
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
            optimiser.step()
            schedule.step()
    return encoder.eval()


def sampled_loss(encoder: Encoder, batch: Batch, target_B: Tensor, chance_P: Tensor) -> Tensor:
    """Cross-entropy of the target among negatives that the whole batch shares.

    A negative's logit loses the log of its chance ``1 - (1 - q)^n`` to be among n draws, so
    that popular items are not pushed down for being drawn often (logQ correction; Bengio and
    Senécal 2008; Yi et al. 2019). The target of a window is no negative of it.
    """
    draws = encoder.options.negatives
    negative_N = torch.multinomial(chance_P, draws, replacement=True).unique()
    vector_PD = encoder.item_vectors()
    user_BD = encoder(vector_PD, batch)
    log_chance_N = torch.log(-torch.expm1(draws * torch.log1p(-chance_P[negative_N])))
    vector_ND = functional.embedding(negative_N, vector_PD)
    negative_BN = encoder.logits(user_BD, vector_ND, encoder.bias[negative_N]) - log_chance_N
    negative_BN = negative_BN.masked_fill(negative_N == target_B[:, None], -1e9)
    target_BD = functional.embedding(target_B, vector_PD)
    cosine_B = functional.cosine_similarity(user_BD, target_BD)
    positive_B = encoder.log_scale.exp() * cosine_B + encoder.bias[target_B]
    logit_BN = torch.cat([positive_B[:, None], negative_BN], dim=1)
    return functional.cross_entropy(logit_BN, torch.zeros_like(target_B))


@torch.no_grad()
def log_chances(encoder: Encoder, histories: Histories) -> Floats:
    """(U, P) the log of each item's chance to come next."""
    vector_PD = encoder.item_vectors()
    user_UD = encoder(vector_PD, batch_of(histories.newest(encoder.options.longest)))
    return torch.log_softmax(encoder.logits(user_UD, vector_PD, encoder.bias), dim=1).numpy()


def warm_cosine(
    optimiser: torch.optim.Optimizer, steps: int, warm_up: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """Half a cosine from the learning rate to nothing, with a linear start."""

    def factor(step: int) -> float:
        start = min((step + 1) / (warm_up * steps), 1.0)
        return start * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
