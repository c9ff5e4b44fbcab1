import numpy as np

from recsys_kedro.ranking.candidates import CandidateOptions, propose
from recsys_kedro.ranking.pair_features import pair_features
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.snapshot import Snapshot


def test_a_loaded_snapshot_proposes_and_describes_alike(
    random_events, random_features, make_snapshot, ask, tmp_path
):
    snapshot = make_snapshot(random_events, random_features)
    snapshot.save(tmp_path)
    loaded = Snapshot.load(tmp_path)
    queries = ask(random_events, *(f"u{number}" for number in range(12)), at=110)
    values = []
    for each in (snapshot, loaded):
        scores = each.scorers.catalogue_scores(queries, each.vocabulary)
        taken = queries.seen(each.vocabulary, ["purchase"])
        candidates = propose(scores, Shelves.of(each, 45), taken, CandidateOptions())
        values.append(pair_features(queries, candidates, scores, each).values)
    assert len(values[0]) > 0
    np.testing.assert_array_equal(values[0], values[1])
    assert loaded.categories.ids.to_list() == snapshot.categories.ids.to_list()
