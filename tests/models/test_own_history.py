import numpy as np

from recsys_kedro import columns as c
from recsys_kedro.models.own_history import OwnHistory, OwnHistoryOptions


def test_own_products_come_first_by_recency_and_count_then_the_popular_ones(events, make_data, ask):
    model = OwnHistory.fit(make_data(events), OwnHistoryOptions(half_life_days=20), seed=0)
    found = model.recommend(ask(events, "ann"), 4, exclude_seen=False)
    assert found[c.PRODUCT_ID].to_list() == ["a", "🫖", "b", "c"]
    expected = [0.5**2 + 0.5**1, 0.5**2, 0, 0]
    np.testing.assert_allclose(found[c.SCORE], expected, atol=1e-5)


def test_without_half_life_it_counts(events, make_data, ask):
    model = OwnHistory.fit(make_data(events), OwnHistoryOptions(half_life_days=None), seed=0)
    np.testing.assert_array_equal(model.score_catalogue(ask(events, "ann")), [[2, 0, 0, 1]])


def test_other_events_than_targets_do_not_count(make_events, make_data, ask):
    events = make_events(("ann", "a", 3), ("ann", "b", 1, c.CLICK), ("ann", "a", 1, c.RETURN))
    model = OwnHistory.fit(make_data(events), OwnHistoryOptions(half_life_days=None), seed=0)
    np.testing.assert_array_equal(model.score_catalogue(ask(events, "ann")), [[1, 0]])
