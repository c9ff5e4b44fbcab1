"""A small network that orders the candidates of the linear model and the encoder.

Shapes: U users of a block, P items, C candidates per user (a fixed number; not all are valid),
F features of a pair, G features of a user, L users to learn from.

It learns on lists of an item that its two models have not seen: they are fitted on what precedes
it. Scores that had seen the item would say more of it than they do of the next one, and the
network would learn to believe them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from ordered.data import Histories, Ints
from ordered.encoder import Encoder, log_chances, warm_cosine
from ordered.linear import Floats, scaled

TOP = 120  # candidates of each model
QUERY_DECAY, SHORT_DECAY, OWN_DECAY = 0.6, 0.3, 0.95  # what an event weighs against the next
NEURAL_SHARE = 0.005  # of the weighted sum: linear score + share * log chance
LEAST_MAXIMUM = 1e-3


@dataclass(frozen=True)
class Models:
    """What scores items, and what it was fitted on.

    Attributes:
        weights_PP: of the linear model.
        encoder: in its evaluation mode.
        item_PD: the encoder's item vectors, of length 1.
        count_P: events per item.
        followed_PP: how often one item (row) was followed at once by another, over the root
            of both counts.
        attribute_PA: the items' scaled attributes, of length 1; or none.
    """

    weights_PP: Floats
    encoder: Encoder
    item_PD: Floats
    count_P: Ints
    followed_PP: sparse.csr_matrix
    attribute_PA: sparse.csr_matrix | None


class Scores(NamedTuple):
    """Of all items for the users of a block; what must not be listed has ``allowed_UP`` False."""

    linear_UP: Floats
    short_UP: Floats  # the linear model, on little more than the last items
    neural_UP: Floats
    allowed_UP: NDArray[np.bool_]

    @property
    def sum_UP(self) -> Floats:
        """(U, P) the weighted sum, which learns nothing."""
        return self.linear_UP + np.float32(NEURAL_SHARE) * self.neural_UP


class Lists(NamedTuple):
    """Candidates of users, and what the fusion reads of them."""

    item_UC: Ints
    valid_UC: NDArray[np.bool_]
    pair_UCF: Floats
    user_UG: Floats


def models_of(
    histories: Histories,
    weights_PP: Floats,
    encoder: Encoder,
    attributes_PA: sparse.csr_matrix | None,
) -> Models:
    """Add what is counted to what is fitted on the same histories."""
    items = len(weights_PP)
    _, item_E, age_E = histories.events()
    count_P = np.bincount(item_E, minlength=items)
    before_E = np.flatnonzero(age_E > 0)
    cells = (np.ones(len(before_E), np.float32), (item_E[before_E], item_E[before_E + 1]))
    root_PP = sparse.diags_array((1 / np.sqrt(count_P + 1)).astype(np.float32))
    followed_PP = root_PP @ sparse.csr_matrix(cells, shape=(items, items)) @ root_PP
    with torch.no_grad():
        item_PD = functional.normalize(encoder.item_vectors()).numpy()
    attribute_PA = None if attributes_PA is None else of_length_one(scaled(attributes_PA))
    return Models(weights_PP, encoder, item_PD, count_P, followed_PP.tocsr(), attribute_PA)


def of_length_one(rows_PA: sparse.csr_matrix) -> sparse.csr_matrix:
    length_P = np.sqrt(np.asarray(rows_PA.multiply(rows_PA).sum(axis=1)).ravel())
    return (sparse.diags_array(1 / np.maximum(length_P, 1e-9)) @ rows_PA).tocsr()


def linear_scores(weights_PP: Floats, histories: Histories, decay: float = QUERY_DECAY) -> Floats:
    """(U, P) the weights of the items of a history, newer ones counting more."""
    scores_UP: Floats = histories.weights(len(weights_PP), decay) @ weights_PP
    return scores_UP


def allowed_items(histories: Histories, items: int, repeats: bool) -> NDArray[np.bool_]:
    """(U, P) everything, or without repeats what the user has not had."""
    allowed_UP = np.ones((len(histories), items), bool)
    if not repeats:
        window_E, item_E, _ = histories.events()
        allowed_UP[window_E, item_E] = False
    return allowed_UP


def all_scores(models: Models, histories: Histories, repeats: bool) -> Scores:
    return Scores(
        linear_scores(models.weights_PP, histories),
        linear_scores(models.weights_PP, histories, SHORT_DECAY),
        log_chances(models.encoder, histories),
        allowed_items(histories, len(models.weights_PP), repeats),
    )


def candidates(scores: Scores) -> tuple[Ints, NDArray[np.bool_], Floats, Floats]:
    """The best of both models, and the rank that each gives them.

    Returns:
        Items (U, C) in order of their numbers, which of them count, and the ranks in both
        models, TOP + 1 where a model does not list the item.
    """
    items = scores.linear_UP.shape[1]
    most = min(TOP, items)
    ranks, listed = [], []
    for score_UP in (scores.linear_UP, scores.neural_UP):
        open_UP = np.where(scores.allowed_UP, score_UP, -np.inf)
        top_UK = np.argpartition(-open_UP, most - 1, axis=1)[:, :most]
        order_UK = np.argsort(-np.take_along_axis(open_UP, top_UK, axis=1), axis=1)
        top_UK = np.take_along_axis(top_UK, order_UK, axis=1)
        rank_UP = np.full(score_UP.shape, TOP + 1, np.float32)
        np.put_along_axis(rank_UP, top_UK, np.arange(1, most + 1, dtype=np.float32)[None], axis=1)
        ranks.append(rank_UP)
        listed.append(top_UK)
    item_UC = np.sort(np.concatenate(listed, axis=1), axis=1)
    valid_UC = np.take_along_axis(scores.allowed_UP, item_UC, axis=1)
    valid_UC[:, 1:] &= item_UC[:, 1:] != item_UC[:, :-1]
    linear_UC, neural_UC = (np.take_along_axis(rank_UP, item_UC, axis=1) for rank_UP in ranks)
    return item_UC, valid_UC, linear_UC, neural_UC


def lists_of(models: Models, histories: Histories, scores: Scores, repeats: bool) -> Lists:
    """Candidates with their features."""
    item_UC, valid_UC, linear_rank_UC, neural_rank_UC = candidates(scores)

    def at(values_UP: Floats) -> Floats:
        return np.take_along_axis(values_UP, item_UC, axis=1)

    def best(values_UP: Floats) -> Floats:
        return np.where(scores.allowed_UP, values_UP, -np.inf).max(axis=1, keepdims=True)

    last_U = histories.last_U
    linear_UC, short_UC, neural_UC = (at(scores[place]) for place in range(3))
    followed_UP = models.followed_PP[last_U].toarray()
    preceded_UP = models.followed_PP.T.tocsr()[last_U].toarray()
    features = [
        linear_UC,
        linear_UC / np.maximum(best(scores.linear_UP), LEAST_MAXIMUM),
        short_UC,
        short_UC / np.maximum(best(scores.short_UP), LEAST_MAXIMUM),
        -np.log(linear_rank_UC),
        neural_UC,
        neural_UC - best(scores.neural_UP),
        -np.log(neural_rank_UC),
        ((linear_rank_UC <= TOP) & (neural_rank_UC <= TOP)),
        np.log1p(models.count_P)[item_UC],
        np.log1p(10 * at(followed_UP)),
        np.log1p(10 * at(preceded_UP)),
        np.einsum("ud,ucd->uc", models.item_PD[last_U], models.item_PD[item_UC]),
    ]
    if models.attribute_PA is not None:
        attribute_PA = models.attribute_PA
        recent_UA = histories.weights(attribute_PA.shape[0], SHORT_DECAY) @ attribute_PA
        features += [
            at((attribute_PA[last_U] @ attribute_PA.T).toarray()),
            at((recent_UA @ attribute_PA.T).toarray()),
        ]
    if repeats:
        times_UP, recent_UP = (
            histories.weights(len(models.count_P), decay).toarray() for decay in (1.0, OWN_DECAY)
        )
        features += [np.log1p(at(times_UP)), np.log(at(recent_UP) + 1e-4)]
    of_user = (np.log(histories.length_U), np.log1p(models.count_P[last_U]))
    return Lists(
        item_UC,
        valid_UC,
        np.stack(features, axis=2, dtype=np.float32, casting="unsafe"),
        np.stack(of_user, axis=1, dtype=np.float32, casting="unsafe"),
    )


class Fusion(nn.Module):
    """A perceptron and a linear path over standardised features; one score per candidate."""

    def __init__(self, pair_UCF: Tensor, user_UG: Tensor, hidden: int, dropout: float) -> None:
        super().__init__()
        pairs, users = pair_UCF.shape[-1], user_UG.shape[-1]
        self.deep = nn.Sequential(
            nn.Linear(pairs + users, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.GELU(),
            nn.Linear(hidden // 2, 1),
        )
        self.straight = nn.Linear(pairs, 1)
        for name, rows in (("pair", pair_UCF.flatten(0, -2)), ("user", user_UG)):
            self.register_buffer(f"{name}_mean", rows.mean(dim=0))
            self.register_buffer(f"{name}_spread", rows.std(dim=0) + 1e-3)

    def forward(self, pair_UCF: Tensor, user_UG: Tensor) -> Tensor:
        pair_UCF = ((pair_UCF - self.pair_mean) / self.pair_spread).clamp(-6, 6)
        user_UG = (user_UG - self.user_mean) / self.user_spread
        user_UCG = user_UG[:, None].expand(-1, pair_UCF.shape[1], -1)
        both_UCH = torch.cat([pair_UCF, user_UCG], dim=2)
        score_UC: Tensor = (self.deep(both_UCH) + self.straight(pair_UCF)).squeeze(2)
        return score_UC


@dataclass(frozen=True)
class FusionOptions:
    """Size and training of the fusion."""

    hidden: int = 64
    dropout: float = 0.1
    epochs: int = 6
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


def fit_fusion(lists: Lists, targets_U: Ints, options: FusionOptions, seed: int) -> Fusion:
    """A softmax over each list whose candidates hold the target; other lists say nothing.

    Raises:
        ValueError: if no list holds its target.
    """
    torch.manual_seed(seed)
    found_UC = (lists.item_UC == targets_U[:, None]) & lists.valid_UC
    kept_L = np.flatnonzero(found_UC.any(axis=1))
    if len(kept_L) < 2:
        msg = "fewer than two users have the next item among their candidates: nothing to learn"
        raise ValueError(msg)
    pair_LCF, user_LG, valid_LC, place_L = (
        torch.from_numpy(values[kept_L])
        for values in (lists.pair_UCF, lists.user_UG, lists.valid_UC, found_UC.argmax(axis=1))
    )
    fusion = Fusion(pair_LCF[valid_LC], user_LG, options.hidden, options.dropout)
    optimiser = torch.optim.AdamW(
        fusion.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    steps = options.epochs * math.ceil(len(kept_L) / options.batch)
    schedule = warm_cosine(optimiser, steps, warm_up=0.1)
    for _ in range(options.epochs):
        for some in torch.randperm(len(kept_L)).split(options.batch):
            score_UC = fusion(pair_LCF[some], user_LG[some]).masked_fill(~valid_LC[some], -1e9)
            loss = functional.cross_entropy(score_UC, place_L[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return fusion.eval()


@torch.no_grad()
def fused_scores(fusion: Fusion, lists: Lists) -> Floats:
    """(U, C) -inf where a candidate does not count."""
    score_UC = fusion(torch.from_numpy(lists.pair_UCF), torch.from_numpy(lists.user_UG))
    return np.where(lists.valid_UC, score_UC.numpy(), -np.inf)
