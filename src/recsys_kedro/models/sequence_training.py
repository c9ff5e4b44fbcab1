"""How the sequence encoder learns: every step of everybody, a softmax over shared negatives.

U distinct products of a batch, P products, E packed past events, B steps (a *step* is a time at
which a user took something), T products taken at them, N negatives, D width. Vectors are compared
by their angle, over a temperature, and each logit is corrected by how often its product is drawn:
X. Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
RecSys 2019.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recsys_kedro.models.interactions import OrderedSteps, ordered_steps
from recsys_kedro.models.linear import content_matrix
from recsys_kedro.models.network import rows_of, take_packed
from recsys_kedro.models.sequence_encoder import (
    NEVER,
    Pooling,
    Randomness,
    SequenceEncoder,
    SequenceOptions,
)
from recsys_kedro.ranges import ranges
from recsys_kedro.sampling import log_expected_count
from recsys_kedro.vocabulary import Vocabulary

CLIP_NORM = 5.0
WARM_UP = 0.05  # of all batches


class _Learner(nn.Module):
    """The pooling with what is learned of the products."""

    def __init__(
        self,
        attributes: tuple[Tensor, Tensor],
        size: tuple[int, int],
        options: SequenceOptions,
        random: Randomness,
    ) -> None:
        super().__init__()
        self.pooling = Pooling(options, random)
        self.attributes = attributes
        self.identity = random.weights(size[0], options.width, deviation=0.1)
        self.attribute = random.weights(max(size[1], 1), options.width, deviation=0.1)
        self.bias = nn.Parameter(torch.zeros(size[0]))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))

    def product_vectors(self, index_U: Tensor) -> Tensor:
        """(U, D) of some products: what is their own and the mean of their attributes."""
        listed, starts = take_packed(*self.attributes, index_U)
        described_UD = functional.embedding_bag(listed, self.attribute, starts, mode="mean")
        return rows_of(self.identity, index_U) + described_UD


class _Batch(NamedTuple):
    """B steps with their past; products are positions in ``distinct``."""

    distinct: Tensor  # (U,) product indices
    past: Tensor  # (E,)
    step: Tensor  # (E,) steps back
    row: Tensor  # (E,) the step of each
    taken: Tensor  # (T,) what was taken at the steps
    taken_row: Tensor  # (T,)
    negative: Tensor  # (N,)
    log_count: Tensor  # (N,)
    size: int


def fit_sequence_encoder(
    taken: pl.DataFrame,
    products: pl.DataFrame,
    vocabulary: Vocabulary,
    as_of: datetime,
    options: SequenceOptions,
    seed: int,
) -> SequenceEncoder:
    """Learn from all steps before ``as_of`` that have one before them.

    Args:
        taken: target events before ``as_of``.
        products: the products' table; what is created later or unknown is left out.
        vocabulary: the P products.
        as_of: UTC.
        options: sizes and schedule.
        seed: of first weights, batches, negatives and what is dropped.
    """
    random = Randomness(seed)
    steps = ordered_steps(taken, vocabulary)
    content_PA = content_matrix(products, vocabulary, as_of)
    listed, starts = (
        torch.from_numpy(array.astype(np.int64))
        for array in (content_PA.indices, content_PA.indptr)
    )
    learner = _Learner((listed, starts), content_PA.shape, options, random)
    counts_P = np.bincount(steps.product_E, minlength=len(vocabulary))
    _learn(learner, _Batches(steps, counts_P, options, random), options, random)
    with torch.no_grad():
        # Whose id was never taken is what its attributes say.
        learner.identity[torch.from_numpy(counts_P == 0)] = 0
        vector_PD = learner.product_vectors(torch.arange(len(vocabulary)))
    learner.requires_grad_(requires_grad=False)
    scale = float(learner.log_scale.exp())
    return SequenceEncoder(vector_PD, learner.bias.detach(), scale, learner.pooling)


class _Batches:
    """The batches of an epoch, drawn anew each time."""

    def __init__(
        self,
        steps: OrderedSteps,
        counts_P: NDArray[np.int64],
        options: SequenceOptions,
        random: Randomness,
    ) -> None:
        self.steps, self.options, self.random = steps, options, random
        first_S = np.searchsorted(steps.user_S, steps.user_S)
        number_S = np.arange(len(steps.user_S))
        self.later = torch.from_numpy(np.flatnonzero(number_S > first_S))
        self.from_S = np.maximum(steps.start_S[first_S], steps.start_S[:-1] - options.longest)
        weight_P = (counts_P + 1.0) ** options.popularity_exponent
        self.probability_P = torch.from_numpy(weight_P / weight_P.sum())
        expected_P = log_expected_count(self.probability_P.numpy(), options.negatives)
        # Of a product that is drawn at all: each counts once.
        self.log_count_P = torch.from_numpy(np.log(-np.expm1(-np.exp(expected_P))))

    @property
    def count(self) -> int:
        """Batches per epoch."""
        return -(-min(len(self.later), self.options.steps) // self.options.batch_size)

    def __iter__(self) -> Iterator[_Batch]:
        generator = self.random.generator
        order = torch.randperm(len(self.later), generator=generator)[: self.options.steps]
        for some in torch.split(self.later[order], self.options.batch_size):
            drawn = torch.multinomial(
                self.probability_P, self.options.negatives, replacement=True, generator=generator
            )
            yield self._batch(some.numpy(), torch.unique(drawn))

    def _batch(self, some_B: NDArray[np.int64], negative_N: Tensor) -> _Batch:
        steps = self.steps
        row_E, past_E = ranges(self.from_S[some_B], steps.start_S[some_B])
        taken_row_T, taken_T = ranges(steps.start_S[some_B], steps.start_S[some_B + 1])
        past = torch.from_numpy(steps.product_E[past_E])
        taken = torch.from_numpy(steps.product_E[taken_T])
        distinct, place = torch.unique(torch.cat([past, taken, negative_N]), return_inverse=True)
        past_place, taken_place, negative_place = torch.split(
            place, [len(past), len(taken), len(negative_N)]
        )
        return _Batch(
            distinct,
            past_place,
            torch.from_numpy(some_B[row_E] - 1 - steps.step_E[past_E]),
            torch.from_numpy(row_E),
            taken_place,
            torch.from_numpy(taken_row_T),
            negative_place,
            self.log_count_P[negative_N].float(),
            len(some_B),
        )


def _learn(
    learner: _Learner, batches: _Batches, options: SequenceOptions, random: Randomness
) -> None:
    """AdamW with a warm-up and a half cosine."""
    others = [weights for name, weights in learner.named_parameters() if name != "bias"]
    groups: list[dict[str, Any]] = [
        {"params": others},
        {"params": [learner.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, options.learning_rate, weight_decay=options.weight_decay)
    total = max(options.epochs * batches.count, 1)

    def rate(batch: int) -> float:
        rising = min((batch + 1) / (WARM_UP * total), 1.0)
        return rising * 0.5 * (1 + math.cos(math.pi * min(batch / total, 1.0)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for _ in range(options.epochs):
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(_loss(learner, batch, random))
            nn.utils.clip_grad_norm_(learner.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()


def _loss(learner: _Learner, batch: _Batch, random: Randomness) -> Tensor:
    """The mean over steps of the sampled softmax of what was taken, each step's products equal."""
    vector_UD = learner.product_vectors(batch.distinct)
    past_ED = rows_of(vector_UD, batch.past)
    user_BD = learner.pooling(past_ED, batch.step, batch.row, batch.size, random)
    direction_BD, direction_UD = (functional.normalize(each) for each in (user_BD, vector_UD))
    scale, bias_U = learner.log_scale.exp(), rows_of(learner.bias, batch.distinct)
    logit_BN = scale * direction_BD @ rows_of(direction_UD, batch.negative).T
    logit_BN = logit_BN + rows_of(bias_U, batch.negative) - batch.log_count
    own_T = (direction_BD[batch.taken_row] * rows_of(direction_UD, batch.taken)).sum(dim=1)
    own_T = scale * own_T + rows_of(bias_U, batch.taken)
    # What a step took is no negative of it.
    place_U = torch.full((len(batch.distinct),), -1)
    place_U[batch.negative] = torch.arange(len(batch.negative))
    place_T = place_U[batch.taken]
    both_T = place_T >= 0
    mine_BN = torch.zeros(logit_BN.shape, dtype=torch.bool)
    mine_BN[batch.taken_row[both_T], place_T[both_T]] = True
    rest_B = logit_BN.masked_fill(mine_BN, NEVER).logsumexp(dim=1)
    loss_T = torch.logaddexp(own_T, rest_B[batch.taken_row]) - own_T
    share_T = 1 / torch.bincount(batch.taken_row, minlength=batch.size)[batch.taken_row]
    return (loss_T * share_T).sum() / batch.size
