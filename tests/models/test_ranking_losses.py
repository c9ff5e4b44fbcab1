import math

import pytest
import torch

from recsys_kedro.models.ranking_losses import lambda_rank, listwise_softmax


def tensors(score, label, valid=None):
    valid = [[True] * len(row) for row in score] if valid is None else valid
    return torch.tensor(score), torch.tensor(label, dtype=torch.bool), torch.tensor(valid)


def swap(first, second):
    """What NDCG changes by with one product taken, if these ranks (from 1) change places."""
    return abs(1 / math.log2(first + 1) - 1 / math.log2(second + 1))


def test_softmax_spreads_the_label_over_what_was_taken():
    loss = listwise_softmax(*tensors([[0.0, 0.0, 0.0, 0.0]], [[1, 1, 0, 0]]))
    assert float(loss) == pytest.approx(math.log(4))


def test_pairs_weigh_what_their_swap_changes():
    # Ranks 1 to 3 are b, a, c; a was taken.
    loss = lambda_rank(*tensors([[1.0, 2.0, 0.5]], [[1, 0, 0]]), top=10)
    expected = swap(2, 1) * math.log1p(math.e) + swap(2, 3) * math.log1p(math.exp(-0.5))
    assert float(loss) == pytest.approx(expected)


def test_the_best_possible_gain_is_of_so_many_as_were_taken_and_fit():
    score, label = [[4.0, 3.0, 2.0, 1.0]], [[0, 1, 1, 1]]
    ideal = 1 + 1 / math.log2(3)  # two ranks are the top, though three were taken
    expected = sum(swap(1, rank) * math.log1p(math.exp(rank - 1)) for rank in (2, 3, 4)) / ideal
    assert float(lambda_rank(*tensors(score, label), top=2)) == pytest.approx(expected)


def test_pairs_below_the_top_do_not_count():
    score, label, valid = tensors([[3.0, 2.0, 1.0, 0.0]], [[0, 0, 0, 1]])
    score.requires_grad_()
    lambda_rank(score, label, valid, top=1).backward()
    assert score.grad[0, 1] == score.grad[0, 2] == 0
    assert score.grad[0, 0] > 0 > score.grad[0, 3]


@pytest.mark.parametrize("loss", [listwise_softmax, lambda s, y, v: lambda_rank(s, y, v, 3)])
class TestBoth:
    def test_what_is_not_valid_is_not_there(self, loss):
        short = loss(*tensors([[0.3, 0.1]], [[1, 0]]))
        padded = loss(
            *tensors([[0.3, 9.0, 0.1]], [[1, 1, 0]], [[True, False, True]]),
        )
        assert float(padded) == pytest.approx(float(short))

    def test_lists_of_which_nothing_was_taken_say_nothing(self, loss):
        one = loss(*tensors([[0.3, 0.1]], [[1, 0]]))
        two = loss(*tensors([[0.3, 0.1], [5.0, 2.0]], [[1, 0], [0, 0]]))
        assert float(two) == pytest.approx(float(one))
        assert float(loss(*tensors([[0.3, 0.1]], [[0, 0]]))) == 0

    def test_learning_lifts_what_was_taken(self, loss):
        score, label, valid = tensors([[0.3, 0.1, 0.2]], [[0, 1, 0]])
        score.requires_grad_()
        loss(score, label, valid).backward()
        assert score.grad[0, 1] < 0 < score.grad[0, 0]


def test_the_weights_are_not_learned_through():
    score, label, valid = tensors([[0.2, 0.1]], [[0, 1]])
    score.requires_grad_()
    lambda_rank(score, label, valid, top=2).backward()
    expected = -swap(1, 2) * torch.sigmoid(score.detach()[0, 0] - score.detach()[0, 1])
    assert float(score.grad[0, 1]) == pytest.approx(float(expected))
