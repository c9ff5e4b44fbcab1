"""Losses of ranked lists.

B lists of C candidates. A label says what was taken; what is not valid is not there.
"""

import torch
from torch import Tensor, nn

from recsys_kedro.models.network import rows_of


def listwise_softmax(score_BC: Tensor, label_BC: Tensor, valid_BC: Tensor) -> Tensor:
    """The mean negative log-probability of what was taken, over lists that have any.

    Cao et al. (2007), "Learning to rank: from pairwise approach to listwise approach" (ListNet,
    top one), with the label's mass spread evenly over the products taken.
    """
    label_BC = (label_BC & valid_BC).float()
    log_probability_BC = nn.functional.log_softmax(
        score_BC.masked_fill(~valid_BC, torch.finfo(score_BC.dtype).min), dim=1
    )
    taken_B = label_BC.sum(dim=1)
    loss_B = -(log_probability_BC * label_BC).sum(dim=1) / taken_B.clamp(min=1)
    return loss_B.sum() / (taken_B > 0).sum().clamp(min=1)


def lambda_rank(score_BC: Tensor, label_BC: Tensor, valid_BC: Tensor, top: int) -> Tensor:
    """The logistic loss of pairs, each weighed by what its swap changes of the NDCG.

    C. Burges (2010), "From RankNet to LambdaRank to LambdaMART: an overview"; a pair is a product
    that was taken and one that was not, and counts if one of them is among the ``top`` ranks now.
    The mean over lists of which anything was taken.
    """
    label_BC = label_BC & valid_BC
    row_N, place_N = label_BC.nonzero(as_tuple=True)
    with torch.no_grad():
        lowest = torch.finfo(score_BC.dtype).min
        order_BC = score_BC.masked_fill(~valid_BC, lowest).argsort(dim=1, descending=True)
        rank_BC = order_BC.argsort(dim=1)
        discount_BC = 1 / torch.log2(rank_BC + 2.0)
        ranks_T = torch.arange(top, device=score_BC.device)
        ideal_T = (1 / torch.log2(ranks_T + 2.0)).cumsum(0)
        taken_B = label_BC.sum(dim=1)
        ideal_N = ideal_T[(taken_B[row_N] - 1).clamp(max=top - 1)]
        change_NC = (discount_BC[row_N] - discount_BC[row_N, place_N][:, None]).abs()
        near_NC = (rank_BC[row_N] < top) | (rank_BC[row_N, place_N] < top)[:, None]
        counts_NC = near_NC & (valid_BC & ~label_BC)[row_N]
        weight_NC = change_NC * counts_NC / ideal_N[:, None]
    taken_N = rows_of(score_BC.flatten(), row_N * score_BC.shape[1] + place_N)
    loss_NC = nn.functional.softplus(rows_of(score_BC, row_N) - taken_N[:, None])
    return (weight_NC * loss_NC).sum() / (taken_B > 0).sum().clamp(min=1)
