import numpy as np
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models.popularity import (
    Popularity,
    PopularityOptions,
    RecentPopularity,
    RecentPopularityOptions,
)


def test_popularity_counts_target_events(events, make_data, ask):
    model = Popularity.fit(make_data(events), PopularityOptions(), seed=0)
    found = model.recommend(ask(events, "ann"), 4, exclude_seen=False)
    # b and c sold once each; b sold later.
    assert found[c.PRODUCT_ID].to_list() == ["a", "🫖", "b", "c"]
    np.testing.assert_allclose(found[c.SCORE], [3, 2, 1, 1], rtol=1e-5)


def test_recent_popularity_halves_with_every_half_life(events, make_data, ask):
    options = RecentPopularityOptions(half_life_days=10)
    model = RecentPopularity.fit(make_data(events), options, seed=0)
    found = model.recommend(ask(events, "ann"), 4, exclude_seen=False)
    assert found[c.PRODUCT_ID].to_list() == ["b", "a", "🫖", "c"]
    expected = [0.5**1, 0.5**4 + 0.5**2 + 0.5**3, 0.5**4 + 0.5**3, 0.5**6]
    np.testing.assert_allclose(found[c.SCORE], expected, rtol=1e-5)


def test_only_target_events_count(make_events, make_data):
    events = make_events(("ann", "a", 3), ("ann", "b", 2, c.CLICK), ("ben", "b", 2, c.CLICK))
    bought = Popularity.fit(make_data(events), PopularityOptions(), seed=0)
    clicked = Popularity.fit(make_data(events, (c.CLICK,)), PopularityOptions(), seed=0)
    np.testing.assert_array_equal(bought.counts, [1, 0])
    np.testing.assert_array_equal(clicked.counts, [0, 2])


def test_a_half_life_has_to_be_positive():
    with pytest.raises(ValueError, match="half_life_days"):
        RecentPopularityOptions(half_life_days=0)
