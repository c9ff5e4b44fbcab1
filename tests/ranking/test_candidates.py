import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.models.sequence_encoder import SequenceOptions
from recsys_kedro.ranking.candidates import (
    HISTORY,
    NEW,
    RETRIEVAL,
    SOURCES,
    TRENDING,
    CandidateOptions,
    offsets_of,
    propose,
)
from recsys_kedro.ranking.scorers import LINEAR, NEIGHBOURS
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.vocabulary import Vocabulary

PASSES = {LINEAR: 2, NEIGHBOURS: 4, TRENDING: 2}  # memories, behaviours times memories, half-lives


def only(**quotas):
    return CandidateOptions(**(dict.fromkeys(SOURCES, 0) | quotas))


def run(queries, snapshot, options, retrieval=None):
    """The candidates, and (Q, P) whether the user has taken the product."""
    scores = snapshot.scorers.catalogue_scores(queries, snapshot.vocabulary)
    taken = queries.seen(snapshot.vocabulary, [c.PURCHASE])
    return propose(scores, Shelves.of(snapshot, options.new_days), taken, options, retrieval), taken


def ids(snapshot, candidates, query=0):
    mine = candidates.product[candidates.offsets[query] : candidates.offsets[query + 1]]
    return snapshot.vocabulary.decode(mine).to_list()


@pytest.fixture(scope="module")
def snapshot(random_events, random_features, make_snapshot):
    """Of 60 products the last ten are not known yet."""
    return make_snapshot(
        random_events,
        random_features[:50],
        Vocabulary.fit(random_features[c.PRODUCT_ID]),
        sequence=SequenceOptions(width=4, heads=1, longest=5, negatives=8, epochs=1),
    )


@pytest.fixture(scope="module")
def queries(random_events, ask):
    return ask(random_events, *(f"u{number}" for number in range(40)), "nobody", at=110)


@pytest.fixture(scope="module")
def retrieval():
    return np.random.default_rng(1).random((41, 60)).astype(np.float32)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("quota", [1, 5, 10_000])
def test_a_source_proposes_known_products_within_its_quota(
    snapshot, queries, retrieval, source, quota
):
    candidates, taken = run(queries, snapshot, only(**{source: quota}), retrieval)
    assert len(candidates.product) > 0
    assert snapshot.products.known[candidates.product].all()
    assert set(candidates.source.tolist()) == {SOURCES.index(source)}
    assert np.diff(candidates.offsets).max() <= quota * PASSES.get(source, 1)
    assert set(taken[candidates.query, candidates.product].tolist()) == {source == HISTORY}


@given(data=st.data())
def test_the_union_of_all_sources(snapshot, queries, retrieval, data):
    quotas = {name: data.draw(st.integers(0, 60)) for name in SOURCES}
    candidates, taken = run(queries, snapshot, only(**quotas), retrieval)
    key = candidates.query * 60 + candidates.product
    assert (np.diff(key) > 0).all(), "sorted, and each once"
    counts = np.bincount(candidates.query, minlength=len(queries))
    assert candidates.offsets.tolist() == [0, *np.cumsum(counts)]
    assert snapshot.products.known[candidates.product].all()
    from_history = candidates.source == SOURCES.index(HISTORY)
    assert (taken[candidates.query, candidates.product] == from_history).all()
    per_source = np.zeros((len(queries), len(SOURCES)), int)
    np.add.at(per_source, (candidates.query, candidates.source), 1)
    for number, name in enumerate(SOURCES):
        assert per_source[:, number].max() <= quotas[name] * PASSES.get(name, 1)


def test_quotas_above_the_catalogue_propose_all_of_it(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ben", "b", 90), ("ben", "c", 90), ("cy", "d", 1))
    snapshot = make_snapshot(events)
    quotas = dict.fromkeys(SOURCES, 10_000)
    candidates, _ = run(ask(events, "ann", "nobody"), snapshot, only(**quotas))
    assert ids(snapshot, candidates, 0) == ["a", "b", "c", "d"]
    assert ids(snapshot, candidates, 1) == ["a", "b", "c", "d"]


def test_a_source_proposes_its_best(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ann", "b", 80), ("ben", "b", 90), ("ben", "c", 95))
    snapshot = make_snapshot(events)
    both = ask(events, "ann", "ben")
    latest, _ = run(both, snapshot, only(history=1))
    assert [ids(snapshot, latest, query) for query in (0, 1)] == [["a"], ["c"]]
    near, _ = run(both, snapshot, only(neighbours=1))
    assert [ids(snapshot, near, query) for query in (0, 1)] == [["c"], ["a"]]
    asked = np.array([[0.9, 0.9, 0.1, 0.2], [0.1, 0.9, 0.9, 0.2]], np.float32)
    learned, _ = run(both, snapshot, only(retrieval=1), asked)
    assert [ids(snapshot, learned, query) for query in (0, 1)] == [["d"], ["d"]]


def test_of_somebody_unknown_a_factorisation_knows_nothing_to_propose(
    make_events, make_snapshot, ask
):
    events = make_events(("ann", "a", 90), ("ann", "b", 80), ("ben", "b", 90), ("ben", "c", 95))
    snapshot = make_snapshot(events)
    candidates, _ = run(ask(events, "ann", "nobody"), snapshot, only(ials=9))
    assert "c" in ids(snapshot, candidates, 0)
    assert ids(snapshot, candidates, 1) == []


def test_the_category_of_the_user_counts(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ben", "b", 90), ("ben", "c", 90), ("cy", "c", 91))
    snapshot = make_snapshot(events)
    candidates, _ = run(ask(events, "ann", "nobody"), snapshot, only(category=9))
    assert ids(snapshot, candidates, 0) == ["b"]
    assert ids(snapshot, candidates, 1) == []


def test_the_first_source_has_the_credit(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ben", "a", 90), ("ben", "b", 90), ("cy", "c", 90))
    snapshot = make_snapshot(events)
    candidates, _ = run(ask(events, "ann"), snapshot, only(history=9, neighbours=9, trending=9))
    assert ids(snapshot, candidates) == ["a", "b", "c"]
    assert [SOURCES[source] for source in candidates.source] == [HISTORY, NEIGHBOURS, TRENDING]


def test_a_new_product_without_a_sale_is_proposed(make_events, make_features, make_snapshot, ask):
    events = make_events(("ann", "a", 90))
    features = make_features(**{f.PRODUCT_AGE_DAYS: [500, 44, 45, None]})
    snapshot = make_snapshot(events, features)
    options = only(trending=9, category=9, linear=9, neighbours=9, new=9)
    candidates, _ = run(ask(events, "ann", "nobody"), snapshot, options)
    assert ids(snapshot, candidates, 0) == ["b"]
    assert ids(snapshot, candidates, 1) == ["a", "b"]
    assert [SOURCES[source] for source in candidates.source] == [NEW, TRENDING, NEW]


def test_new_products_of_the_users_categories_come_first(
    make_events, make_features, make_snapshot, ask
):
    events = make_events(("ann", "a", 90), ("ben", "c", 90))
    snapshot = make_snapshot(events, make_features(**{f.PRODUCT_AGE_DAYS: [500, 1, 1, 1]}))
    candidates, _ = run(ask(events, "ann"), snapshot, only(new=1))
    assert ids(snapshot, candidates) == ["b"]


def test_a_product_that_is_not_known_yet_is_never_proposed(
    make_events, make_features, make_snapshot, ask
):
    events = make_events(("ann", "a", 90), ("ann", "later", 101), ("ben", "later", 102))
    snapshot = make_snapshot(events, make_features(["a", "b"]), Vocabulary.fit(["a", "b", "later"]))
    retrieval = np.ones((1, 3), np.float32)
    quotas = dict.fromkeys(SOURCES, 9)
    candidates, _ = run(ask(events, "ann", at=105), snapshot, only(**quotas), retrieval)
    assert ids(snapshot, candidates) == ["a", "b"]


def test_some_of_the_candidates(snapshot, queries):
    candidates, _ = run(queries, snapshot, CandidateOptions())
    keep = candidates.source == SOURCES.index(NEIGHBOURS)
    some = candidates.where(keep)
    assert 0 < len(some.product) == keep.sum() < len(keep)
    assert some.product.tolist() == candidates.product[keep].tolist()
    starts = [int((some.query < query).sum()) for query in range(len(queries) + 1)]
    assert some.offsets.tolist() == starts
    assert set(some.source.tolist()) == {SOURCES.index(NEIGHBOURS)}


def test_nothing_asked_nothing_proposed(random_events, snapshot, ask):
    candidates, _ = run(ask(random_events), snapshot, CandidateOptions())
    assert candidates.offsets.tolist() == [0]
    assert len(candidates.product) == 0


def test_offsets():
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]


def test_every_source_has_a_quota():
    assert set(SOURCES) < set(CandidateOptions.model_fields)
    assert RETRIEVAL in SOURCES
