"""The season of products; day 500 is asked, so the window of a year ago is [136, 164)."""

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.ranking.product_features import product_features
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import ScorerOptions, Scorers, behaviours, fit_scorers
from recsys_kedro.ranking.season import reaches_back, season_counts, season_features
from recsys_kedro.vocabulary import Vocabulary

PRODUCTS = Vocabulary.fit(["a", "b", "c", "d"])
NO_CONTENT = pl.DataFrame(
    schema={name: column.dtype.type for name, column in schemas.PRODUCTS.columns.items()}
)
AT, DAYS = 500, 28
START, END = AT - 364, AT - 364 + DAYS
FIRST = ("zoe", "d", START - DAYS)  # the log reaches back


@pytest.fixture
def count(day):
    def count(events, at=AT):
        return season_counts(events, PRODUCTS, day(at), DAYS)

    return count


def test_what_was_taken_against_the_share_of_the_year(make_events, count):
    events = make_events(
        FIRST,
        ("ann", "a", START), ("ann", "a", START + 5), ("ben", "b", END - 0.1),
        ("ben", "a", END), ("ben", "b", START - 0.1), ("ben", "b", 400), ("ann", "b", 499),
    )  # fmt: skip
    year, then = 3 + 3, 3
    np.testing.assert_allclose(
        count(events), [[2, 3 * then / year], [1, 3 * then / year], [0, 0], [0, 0]]
    )


def test_what_came_later_was_not_there(make_events, count):
    events = make_events(FIRST, ("ann", "a", START), ("ann", "c", END), ("ann", "a", 400))
    np.testing.assert_allclose(count(events), [[1, 2 * 1 / 2], [0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize(("first", "reaches"), [(START - DAYS, True), (START - DAYS + 0.01, False)])
def test_exactly_nothing_without_a_year_and_a_window(make_events, count, day, first, reaches):
    events = make_events(
        ("zoe", "d", first), ("ann", "a", START), ("ann", "c", START - 1), ("ann", "c", 400)
    )
    assert reaches_back(events, day(AT), DAYS) is reaches
    counts = count(events)
    assert counts.any() == reaches
    features = season_features(counts, np.array([0, 0, 1, 1]))
    for values in features.values():
        assert (values != 0).any() == reaches
    assert not reaches_back(events.clear(), day(AT), DAYS)
    assert not count(events.clear()).any()


def test_a_year_without_any_event_says_nothing(make_events, count):
    assert not count(make_events(FIRST)).any()


def test_few_events_are_drawn_to_the_category_and_the_category_to_nothing():
    counts = np.array([[30, 10], [0, 0], [0, 20], [0, 0]], np.float32)
    found = season_features(counts, np.array([0, 0, 1, 1]))
    lamps, chairs = (30 + 50) / (10 + 50), (0 + 50) / (20 + 50)
    own = [(30 + 10 * lamps) / (10 + 10), lamps, (10 * chairs) / (20 + 10), chairs]
    np.testing.assert_allclose(found["season"], np.log(own), rtol=1e-6)
    expected = np.log([lamps, lamps, chairs, chairs])
    np.testing.assert_allclose(found["season_category"], expected, rtol=1e-6)


@pytest.fixture
def fit(day):
    def fit(events, at=AT, **options):
        options = ScorerOptions(**options)
        weights = behaviours(events, (c.PURCHASE,), options)
        return fit_scorers(events, NO_CONTENT, PRODUCTS, day(at), weights, options)

    return fit


def two_years(make_events):
    rng = np.random.default_rng(3)
    users, products, days = rng.integers(0, 20, 900), rng.integers(0, 4, 900), rng.random(900)
    return make_events(
        *(
            (f"u{user}", "abcd"[product], 730 * at)
            for user, product, at in zip(users, products, days, strict=True)
        )
    )


def test_only_the_past_is_seen(make_events, fit, day):
    events = two_years(make_events)
    past = events.filter(events[c.TIMESTAMP] < day(AT))
    assert 100 < past.height < events.height - 100
    seen, every = fit(past), fit(events)
    assert seen.season.any()
    np.testing.assert_array_equal(seen.season, every.season)


def test_views_and_returns_are_no_demand(make_events, fit):
    events = make_events(
        FIRST, ("ann", "a", START), ("ann", "b", START + 1, c.PRODUCT_VIEW),
        ("ann", "b", START + 2, c.RETURN), ("ann", "c", START, c.ADD_TO_CART),
    )  # fmt: skip
    np.testing.assert_allclose(fit(events).season[:, 0], [1, 0, 0, 0])


@pytest.mark.parametrize("days", [0, DAYS])
def test_ranking_knows_it_if_it_is_asked_for(make_events, make_features, fit, tmp_path, days):
    scorers = fit(two_years(make_events), season_days=days)
    scorers.save(tmp_path / "scorers.safetensors")
    loaded = Scorers.load(tmp_path / "scorers.safetensors")
    categories = Vocabulary.fit(["chairs", "lamps"])
    state = product_state(make_features(), PRODUCTS, categories)
    features = product_features(scorers, state)
    assert ("season" in features.names) == (days > 0)
    found = dict(zip(features.names, features.values.T, strict=True))
    again = product_features(loaded, state)
    assert again.names == features.names
    np.testing.assert_array_equal(again.values, features.values)
    if days:
        assert found["season"].all()
        assert found["season_category"][0] == found["season_category"][1]
