import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.ranking.candidates import CandidateOptions, propose
from recsys_kedro.ranking.scorers import TAKEN, ScorerOptions
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.source_recall import snapshot_at, source_recalls


def truth_of(*pairs):
    return pl.DataFrame(pairs, schema=[c.USER_ID, c.PRODUCT_ID], orient="row")


def by_source(recalls):
    return {row.pop(c.SOURCE): row for row in recalls.iter_rows(named=True)}


def test_own_history_and_trends_by_hand(make_events, make_snapshot, ask):
    """Ann had the lamp a; b is what others buy of late. She takes both, and one never seen."""
    events = make_events(("ann", "a", 50), ("bob", "b", 99), ("eve", "b", 99))
    options = CandidateOptions(linear=0, ials=0, neighbours=0, retrieval=80, category=0, new=0)
    truth = truth_of(("ann", "a"), ("ann", "b"), ("ann", "unseen"), ("nobody asked", "a"))
    found = by_source(source_recalls(ask(events, "ann"), truth, make_snapshot(events), options))
    assert list(found) == ["history", "trending", "all"]  # no retrieval without a model
    assert found["history"] == pytest.approx({"candidates": 1, "recall": 1 / 3, "only": 1 / 3})
    assert found["trending"]["recall"] == pytest.approx(1 / 3)
    assert found["all"]["recall"] == pytest.approx(2 / 3)
    assert found["all"]["only"] is None


def test_the_retrieval_of_a_model_is_a_source_of_its_own(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 50), ("bob", "b", 99), ("eve", "c", 99))
    options = CandidateOptions(
        linear=0, ials=0, neighbours=0, retrieval=1, trending=0, category=0, new=0
    )
    truth = truth_of(("ann", "a"), ("ann", "c"))
    snapshot = make_snapshot(events)

    def retrieval(queries):
        return np.array([[3, 1, 2, 0]] * len(queries), np.float32)  # a is taken, so c

    found = by_source(source_recalls(ask(events, "ann"), truth, snapshot, options, retrieval))
    assert list(found) == ["history", "retrieval", "all"]
    assert found["retrieval"] == pytest.approx({"candidates": 1, "recall": 1 / 2, "only": 1 / 2})
    assert found["all"]["recall"] == 1


def test_users_who_took_nothing_do_not_count(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 50), ("bob", "b", 99))
    truth = truth_of(("ann", "a"))
    found = by_source(
        source_recalls(ask(events, "ann", "bob"), truth, make_snapshot(events), CandidateOptions())
    )
    assert found["history"]["recall"] == 1


def test_all_sources_together_are_what_is_ranked(
    random_events, random_features, make_snapshot, ask
):
    snapshot = make_snapshot(random_events, random_features)
    queries = ask(random_events, *[f"u{number}" for number in range(9)])
    truth = truth_of(*[(f"u{number}", f"p{number:02}") for number in range(9)])
    options = CandidateOptions(linear=3, neighbours=3, trending=2, category=2, new=1)
    scores = snapshot.scorers.catalogue_scores(queries, snapshot.vocabulary)
    taken = queries.seen(snapshot.vocabulary, snapshot.scorers.weights[TAKEN])
    ranked = propose(scores, Shelves.of(snapshot, options.new_days), taken, options)
    found = by_source(source_recalls(queries, truth, snapshot, options))
    assert found["all"]["candidates"] == pytest.approx(len(ranked.product) / 9)


def test_a_snapshot_is_as_of_one_of_its_times(make_events, make_features, shop, day):
    events = make_events(("ann", "a", 50), ("bob", "b", 120))
    snapshots = make_features().with_columns(pl.lit(day(100)).alias(f.SNAPSHOT_TIME))
    rest = (snapshots, (c.PURCHASE,), ScorerOptions())
    snapshot = snapshot_at(day(100), events, shop.products, *rest)
    assert snapshot.vocabulary.ids.to_list() == ["a", "b", "c", "d"]
    assert snapshot.scorers.users.tolist() == [1, 0, 0, 0]  # what comes later is not known
    with pytest.raises(ValueError, match="none as of 2024"):
        snapshot_at(day(99), events, shop.products, *rest)
