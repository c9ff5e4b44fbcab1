from itertools import product

import pytest
import torch

from recsys_kedro.models.network import (
    HistoryTensors,
    HybridNetwork,
    NetworkOptions,
    ProductTensors,
    RequestTensors,
    Sizes,
    packed_softmax,
    take_packed,
)

PRODUCTS, PAIRS = 6, 5


def make_network(**options):
    torch.manual_seed(0)
    sizes = Sizes(PRODUCTS, 4, 3, 3, 16, 2, 3, 4, PAIRS)
    return HybridNetwork(sizes, NetworkOptions(**options))


@pytest.fixture
def products():
    return ProductTensors(
        category=torch.tensor([0, 1, 2, 3, 2, 1]),
        subcategory=torch.tensor([0, 1, 2, 0, 1, 2]),
        brand=torch.tensor([2, 1, 0, 2, 1, 0]),
        numbers=torch.randn(PRODUCTS, 2, generator=torch.Generator().manual_seed(1)),
        tokens=torch.tensor([3, 4, 5, 3, 9]),
        token_offsets=torch.tensor([0, 2, 2, 3, 4, 5, 5]),
    )


def requests(size):
    return RequestTensors(
        time=torch.zeros(size, 7),
        device=torch.zeros(size, dtype=torch.long),
        category=torch.zeros(size, dtype=torch.long),
        profile=torch.zeros(size, 4),
    )


def history(*users):
    """One list of (product, log age) per user."""
    rows = [(row, *event) for row, events in enumerate(users) for event in events]
    row, item, age = zip(*rows, strict=True) if rows else ((), (), ())
    return HistoryTensors(
        torch.tensor(item, dtype=torch.long),
        torch.full((len(item),), 3, dtype=torch.long),
        torch.tensor(age, dtype=torch.float32),
        torch.tensor(row, dtype=torch.long),
    )


def users_of(network, products, *users):
    past = history(*users)
    vectors = network.product_vectors(products, past.product)
    return network.user_vectors(requests(len(users)), past, vectors)


@pytest.mark.parametrize(("width", "heads", "hidden"), list(product([1, 8], [1, 3], [2, 32])))
def test_sizes_follow_from_the_parts(products, width, heads, hidden):
    network = make_network(width=width, heads=heads, hidden=hidden)
    users = users_of(network, products, [(0, 0.1)], [(1, 0.2), (2, 0.3)])
    vectors = network.product_vectors(products, torch.arange(PRODUCTS))
    scores = network.rank(users, vectors[None].expand(2, -1, -1), torch.zeros(2, PRODUCTS, PAIRS))
    assert scores.shape == (2, PRODUCTS)
    scores.sum().backward()
    assert network.product.weight.grad.is_sparse


def test_one_candidate(products):
    network = make_network()
    users = users_of(network, products, [(0, 0.1)])
    vectors = network.product_vectors(products, torch.tensor([4]))
    assert network.rank(users, vectors[:, None], torch.zeros(1, 1, PAIRS)).shape == (1, 1)


def test_packed_histories_do_not_see_one_another(products):
    network = make_network().eval()
    one, other = [(0, 0.1), (3, 2.0)], [(1, 0.2), (2, 0.3), (5, 4.0)]
    together = users_of(network, products, one, [], other)
    for row, alone in ((0, one), (1, []), (2, other)):
        single = users_of(network, products, alone)
        torch.testing.assert_close(together.collaborative[row], single.collaborative[0])
        torch.testing.assert_close(together.content[row], single.content[0])


def test_user_without_history_has_a_vector_of_nobody(products):
    network = make_network().eval()
    users = users_of(network, products, [], [(0, 0.1)])
    assert torch.isfinite(users.collaborative).all()
    assert not torch.equal(users.collaborative[0], users.collaborative[1])


def test_pair_features_reach_the_score(products):
    network = make_network().eval()
    users = users_of(network, products, [(0, 0.1)])
    vectors = network.product_vectors(products, torch.tensor([1]))[:, None]
    plain = network.rank(users, vectors, torch.zeros(1, 1, PAIRS))
    for place in range(PAIRS):
        changed = torch.zeros(1, 1, PAIRS)
        changed[..., place] = 1.0
        assert network.rank(users, vectors, changed) != plain


def test_there_is_no_table_of_users():
    rows = {parameter.shape[0] for parameter in make_network().product.parameters()}
    assert rows == {PRODUCTS}
    assert not [name for name, _ in make_network().named_parameters() if name.startswith("user")]


def test_ids_are_hidden_in_training_only(products):
    network = make_network(id_dropout=0.99)
    every = torch.arange(PRODUCTS)
    width = network.product.embedding_dim
    hidden = network.train().product_vectors(products, every)[:, :width]
    assert (hidden == 0).all(dim=1).any()
    torch.testing.assert_close(
        network.eval().product_vectors(products, every)[:, :width], network.product.weight
    )


def test_packed_softmax_is_the_softmax_of_each_run():
    logits = torch.tensor([[1.0], [2.0], [5.0], [0.0], [-1.0]])
    packed = packed_softmax(logits, torch.tensor([0, 0, 2, 2, 2]), 3)
    expected = torch.cat([torch.softmax(logits[:2], 0), torch.softmax(logits[2:], 0)])
    torch.testing.assert_close(packed, expected)


def test_take_packed():
    values, starts = take_packed(
        torch.tensor([10, 11, 20, 30, 31, 32]),
        torch.tensor([0, 2, 3, 3, 6]),
        torch.tensor([3, 2, 0]),
    )
    assert values.tolist() == [30, 31, 32, 10, 11]
    assert starts.tolist() == [0, 3, 3]
