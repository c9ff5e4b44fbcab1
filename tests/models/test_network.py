from itertools import product

import pytest
import torch

from recsys_kedro.models.network import (
    FAR,
    HistoryTensors,
    HybridNetwork,
    ListDropout,
    NetworkOptions,
    ProductTensors,
    RequestTensors,
    Sizes,
    packed_softmax,
    packed_sum,
    rows_of,
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
    (scores.sum() + network.retrieve(users, vectors, torch.arange(PRODUCTS)).sum()).backward()
    assert network.product.weight.grad.is_sparse


def test_ranking_reads_the_vectors_and_retrieval_teaches_them(products):
    network = make_network(dropout=0.0, id_dropout=0.0)
    users = users_of(network, products, [(0, 0.1), (3, 2.0)])
    every = torch.arange(PRODUCTS)
    vectors = network.product_vectors(products, every)
    scores = network.rank(users, vectors[None], torch.zeros(1, PRODUCTS, PAIRS))
    assert len(scores.unique()) == PRODUCTS, "alike but for their vectors"
    scores.sum().backward(retain_graph=True)
    assert network.context[0].weight.grad.abs().sum() > 0
    assert network.product.weight.grad is None
    assert network.history.join.weight.grad is None
    network.retrieve(users, vectors, every)[0, 2].backward()
    assert network.product.weight.grad.coalesce().values().abs().sum() > 0
    assert network.history.join.weight.grad.abs().sum() > 0


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


def test_all_candidates_of_a_list_lose_the_same():
    dropout = ListDropout(0.25)
    torch.manual_seed(0)
    found = dropout(torch.ones(500, 3, 4))
    assert (found == found[:, :1]).all()
    assert found.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert found.mean().item() == pytest.approx(1, abs=0.05)
    assert len(found[:, 0].unique(dim=0)) > 10, "lists lose different ones"
    assert (dropout.eval()(found) == found).all()


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


def test_take_packed_of_nothing():
    nothing = torch.empty(0, dtype=torch.long)
    values, starts = take_packed(torch.tensor([10]), torch.tensor([0, 1, 1]), nothing)
    assert values.tolist() == starts.tolist() == []
    values, starts = take_packed(torch.tensor([10]), torch.tensor([0, 1, 1]), torch.tensor([1]))
    assert (values.tolist(), starts.tolist()) == ([], [0])


@pytest.mark.parametrize("lengths", [(2, 0, 3, 1, 0), (4,), (0, 0), ()])
def test_packed_sum_and_its_gradient_are_those_of_a_loop(lengths):
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=int))
    random = torch.Generator().manual_seed(0)
    weight = torch.rand(len(row), 2, generator=random, requires_grad=True)
    vector = torch.rand(len(row), 3, generator=random, requires_grad=True)
    found = packed_sum(weight, vector, row, len(lengths))
    wanted = torch.zeros(len(lengths), 2, 3)
    for number, query in enumerate(row):
        wanted[query] = wanted[query] + weight[number, :, None] * vector[number]
    torch.testing.assert_close(found, wanted)
    scale = torch.rand(found.shape, generator=random)
    gradients = [
        torch.autograd.grad((each * scale).sum(), (weight, vector), allow_unused=True)
        for each in (found, wanted + 0 * (weight.sum() + vector.sum()))
    ]
    for mine, looped in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, looped)


def test_packed_softmax_and_its_gradient_are_those_of_a_padded_one():
    row = torch.tensor([3, 0, 3, 1, 0, 3])
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(2)) * 50
    packed, padded = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    mine = (row[:, None] == torch.arange(4)).T[:, :, None]
    wide = padded[None].masked_fill(~mine, -torch.inf)
    expected = torch.softmax(wide[[0, 1, 3]], dim=1).sum(dim=0)  # query 2 has no events
    found = packed_softmax(packed, row, 4)
    torch.testing.assert_close(found, expected)
    direction = torch.arange(12.0).reshape(6, 2)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(packed.grad, padded.grad)


def test_rows_of_is_indexing_and_its_gradient_repeats_on_several_threads():
    generator = torch.Generator().manual_seed(3)
    index = torch.randint(50, (300, 40), generator=generator)
    values = torch.randn(50, 32, generator=generator)
    direction = torch.randn(300, 40, 32, generator=generator)
    torch.set_num_threads(2)

    def exact(index):
        """The gradient of ``values[index]`` in twice the precision."""
        gradient = torch.zeros(50, 32, dtype=torch.float64)
        return gradient.index_add(0, index.flatten(), direction.double().flatten(0, 1)).float()

    def gradient(take):
        leaf = values.clone().requires_grad_()
        (take(leaf) * direction).sum().backward()
        return leaf.grad

    assert torch.equal(rows_of(values, index), values[index])
    first = gradient(lambda leaf: rows_of(leaf, index))
    torch.testing.assert_close(first, exact(index), atol=1e-4, rtol=1e-5)
    for _ in range(5):
        assert torch.equal(first, gradient(lambda leaf: rows_of(leaf, index)))


def test_only_touched_ids_learn(products):
    network = make_network(id_dropout=0.0)
    before = {name: table.weight.detach().clone() for name, table in tables(network)}
    users = users_of(network, products, [(0, 0.1), (3, 1.0)])
    candidates = torch.tensor([4])
    vectors = network.product_vectors(products, candidates)
    score = network.rank(users, vectors[None], torch.zeros(1, 1, PAIRS)).sum()
    (score + network.retrieve(users, vectors, candidates).sum()).backward()
    rows = [table.weight for _, table in tables(network)]
    torch.optim.SparseAdam(rows, 0.1).step()
    for name, touched in (("product", [0, 3, 4]), ("bias", [4])):
        table = getattr(network, name)
        gradient = table.weight.grad.coalesce()
        assert set(gradient.indices()[0].tolist()) == set(touched)
        changed = (table.weight != before[name]).any(dim=1).nonzero().flatten()
        assert changed.tolist() == touched


def tables(network):
    return [("product", network.product), ("bias", network.bias)]


def test_the_order_of_the_events_does_not_matter(products):
    network = make_network().eval()
    events = [(0, 0.1), (3, 2.0), (5, 4.0)]
    one, other = (users_of(network, products, past) for past in (events, events[::-1]))
    torch.testing.assert_close(one.collaborative, other.collaborative)
    torch.testing.assert_close(one.content, other.content)


def test_an_old_event_counts_less_beside_a_new_one(products):
    network = make_network().eval()
    alone = users_of(network, products, [(1, 0.0)]).content
    near, far = (
        (users_of(network, products, [(1, 0.0), (2, age)]).content - alone).norm()
        for age in (0.0, 7.0)
    )
    assert far < near / 2


def scores_of(network, products, values):
    """One candidate's score for each value that all its pair features have."""
    users = users_of(network, products, [(0, 0.1)])
    vectors = network.product_vectors(products, torch.tensor([1]))[:, None]
    pairs = [torch.full((1, 1, PAIRS), float(value)) for value in values]
    return torch.cat([network.rank(users, vectors, pair) for pair in pairs]).flatten()


def test_a_wild_pair_feature_is_cut(products):
    network = make_network().eval()
    network.mean.fill_(2.0)
    network.scale.fill_(1 / 3)
    wild, border, inside = scores_of(network, products, [1e9, 2 + FAR * 3, 2 + (FAR - 1) * 3])
    torch.testing.assert_close(wild, border)
    assert inside != border


def test_what_few_candidates_have_is_not_cut(products):
    network = make_network().eval()
    feature = torch.zeros(1_000)
    feature[:20] = torch.tensor([1.0, 2, 3, 4]).repeat(5)  # of own products, one in fifty
    network.mean.fill_(feature.mean())
    network.scale.fill_(1 / feature.std())
    steps = scores_of(network, products, [1, 2, 3, 4]).diff()
    assert (steps.abs() > 1e-3).all()
