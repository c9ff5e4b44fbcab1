import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.ranking.candidates import CandidateOptions, Candidates, offsets_of, propose
from recsys_kedro.ranking.pair_features import MAX_LOG_PRICE_RATIO, NEVER_DAYS, pair_features
from recsys_kedro.ranking.shelves import Shelves

LONG = 180


def every_product(queries, snapshot):
    """All products of the vocabulary as candidates of every query."""
    shape = len(queries), len(snapshot.vocabulary)
    query, product = np.nonzero(np.ones(shape))
    source = np.zeros(len(query), np.int8)
    return Candidates(query, product, source, offsets_of(np.full(shape[0], shape[1])))


def describe(queries, snapshot, candidates=None):
    candidates = candidates or every_product(queries, snapshot)
    scores = snapshot.scorers.catalogue_scores(queries, snapshot.vocabulary)
    return pair_features(queries, candidates, scores, snapshot)


def by_name(queries, snapshot):
    """(Q, P) of each feature."""
    features = describe(queries, snapshot)
    shape = len(queries), len(snapshot.vocabulary)
    columns = features.values.T.reshape(-1, *shape)
    return dict(zip(features.names, columns, strict=True))


def close(values, expected):
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-6)


def test_how_often_and_how_regularly(make_events, make_snapshot, ask):
    events = make_events(
        ("ann", "a", 60), ("ann", "a", 80), ("ann", "a", 90), ("ann", "b", 50),
        ("ann", "a", 95, c.PRODUCT_VIEW), ("ben", "c", 99),
    )  # fmt: skip
    found = by_name(ask(events, "ann"), make_snapshot(events))
    rhythm = ((90 - 80) + (80 - 60)) / 2
    close(found["taken_times"], np.log([[1 + 3, 1 + 1, 1, 1]]))
    close(found["taken_age"], np.log([[1 + 10, 1 + 50, 1, 1]]))
    close(found["taken_fresh"], [[np.exp(-10 / 30), np.exp(-50 / 30), 0, 0]])
    close(found["taken_interval"], np.log([[1 + rhythm, 1, 1, 1]]))
    close(found["taken_due"], [[10 / rhythm, 0, 0, 0]])
    close(found["taken_last_visit"], [[1, 0, 0, 0]])
    close(found["visited_times"], np.log([[1 + 1, 1, 1, 1]]))
    close(found["visited_age"], np.log([[1 + 5, 1, 1, 1]]))


def test_lines_of_one_time_count_once(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 80), ("ann", "a", 80), ("ann", "a", 90), ("ann", "a", 90))
    found = by_name(ask(events, "ann"), make_snapshot(events))
    close(found["taken_times"][0, 0], np.log(1 + 2))
    close(found["taken_interval"][0, 0], np.log(1 + 10))
    close(found["taken_due"][0, 0], 10 / 10)


def test_how_many_steps_ago_and_at_how_many_of_them(make_events, make_snapshot, ask):
    events = make_events(
        ("ann", "a", 60), ("ann", "a", 80), ("ann", "b", 80), ("ann", "c", 85),
        ("ann", "b", 90), ("ann", "b", 90), ("ben", "d", 99),
    )  # fmt: skip
    found = by_name(ask(events, "ann"), make_snapshot(events))
    close(found["taken_steps"], np.log([[1 + 2, 1 + 0, 1 + 1, 1]]))
    close(found["taken_fresh_steps"], [[0.8**2, 1, 0.8, 0]])
    close(found["taken_rate"], [[2 / 4, 2 / 3, 1 / 2, 0]])
    close(found["taken_share"], [[2 / 4, 2 / 4, 1 / 4, 0]])
    close(found["taken_age_before"], np.log([[1 + 40, 1 + 20, 1 + NEVER_DAYS, 1]]))


def test_how_much_at_a_time(make_events, make_snapshot, ask):
    events = make_events(
        ("ann", "a", 60), ("ann", "a", 80), ("ann", "a", 80), ("ann", "b", 90),
    ).with_columns(pl.Series(c.QUANTITY, [2.0, 3.0, 4.0, None]))  # fmt: skip
    found = by_name(ask(events, "ann"), make_snapshot(events))
    close(found["taken_quantity"], np.log([[1 + (2 + 3 + 4) / 2, 1 + 1, 1, 1]]))
    close(found["taken_last_quantity"], np.log([[1 + 3 + 4, 1 + 1, 1, 1]]))


def test_what_was_brought_back(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 80), ("ann", "a", 85, c.RETURN), ("ann", "b", 80))
    found = by_name(ask(events, "ann"), make_snapshot(events))
    close(found["returned_times"], np.log([[1 + 1, 1, 1, 1]]))
    close(found["taken_times"], np.log([[1 + 1, 1 + 1, 1, 1]]))


def test_all_of_the_last_visit(make_events, make_snapshot, ask):
    hour = 1 / 24
    events = make_events(
        ("ann", "a", 90), ("ann", "b", 90 - hour / 2), ("ann", "c", 90 - 2 * hour),
        ("ann", "d", 95, c.RETURN),
    )  # fmt: skip
    found = by_name(ask(events, "ann"), make_snapshot(events))
    close(found["taken_last_visit"], [[1, 1, 0, 0]])


def test_the_price_against_the_usual_price(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 60), ("ann", "c", 90))
    queries = ask(events, "ann", "nobody", **{f.AVG_PURCHASE_PRICE: [16.0, None]})
    found = by_name(queries, make_snapshot(events))
    weight_a, weight_c = 0.5 ** (40 / LONG), 0.5 ** (10 / LONG)
    usual = (weight_a * np.log(10) + weight_c * np.log(40)) / (weight_a + weight_c)
    expected = [np.log(10) - usual, np.log(20) - usual, np.log(40) - usual, 0]
    close(found["price_to_usual"], [expected, [0] * 4])
    recent = [np.log(10 / 16), np.log(20 / 16), np.log(40 / 16), 0]
    close(found["price_to_recent"], [recent, [0] * 4])


def test_products_of_unknown_price_do_not_pull_the_usual_price_down(
    make_events, make_snapshot, ask
):
    events = make_events(("ann", "c", 90), ("ann", "d", 90), ("ben", "d", 90))
    found = by_name(ask(events, "ann", "ben"), make_snapshot(events))
    assert np.log(40 / 10) < MAX_LOG_PRICE_RATIO
    close(found["price_to_usual"], [[np.log(10 / 40), np.log(20 / 40), 0, 0], [0] * 4])


def test_a_price_far_off_is_clipped(make_events, make_features, make_snapshot, ask):
    events = make_events(("ann", "a", 90))
    features = make_features(**{c.PRICE: [1.0, 1e6, 1e-6, 2.0]})
    found = by_name(ask(events, "ann"), make_snapshot(events, features))
    expected = [0, MAX_LOG_PRICE_RATIO, -MAX_LOG_PRICE_RATIO, np.log(2)]
    close(found["price_to_usual"], [expected])


def test_category_share_and_rank(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ann", "c", 90))
    top = {f.TOP_CATEGORIES[0]: ["chairs", None], f.TOP_CATEGORIES[2]: ["lamps", "unheard of"]}
    found = by_name(ask(events, "ann", "nobody", **top), make_snapshot(events))
    close(found["category_share"], [[1 / 2, 1 / 2, 1 / 2, 0], [0] * 4])
    close(found["category_rank_match"], [[1 / 3, 1 / 3, 1, 0], [0] * 4])


def test_engagement_is_click_rate_times_conversion(make_events, make_features, make_snapshot, ask):
    events = make_events(("ann", "a", 90))
    snapshot = make_snapshot(events, make_features(**{f.CONVERSION_RATE: [0.5, 0.25, 0, 0]}))
    found = by_name(ask(events, "ann", "ben", **{f.CLICK_THROUGH_RATE: [0.4, None]}), snapshot)
    expected = [0.4 * np.log(1.5), 0.4 * np.log(1.25), 0, 0]
    close(found["engagement"], [expected, [0] * 4])


def test_scores_and_their_share_of_the_best(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 40), ("ann", "b", 70))
    found = by_name(ask(events, "ann", "nobody"), make_snapshot(events))
    own = np.array([0.5 ** (60 / 30), 0.5 ** (30 / 30), 0, 0])
    close(found["own_taken_short"], [np.log1p(own), [0] * 4])
    close(found["own_taken_short_share"], [own / own[1], [0] * 4])


def test_popularity_and_its_trend(make_events, make_snapshot, ask):
    events = make_events(("ann", "a", 90), ("ben", "a", 90))
    snapshot = make_snapshot(events, popularity_half_lives_days=(5, 10))
    found = by_name(ask(events, "nobody"), snapshot)
    fast, slow = 2 * 0.5**2, 2 * 0.5**1
    close(found["popularity_0"], [[np.log(1 + fast), 0, 0, 0]])
    close(found["popularity_1"], [[np.log(1 + slow), 0, 0, 0]])
    close(found["trend_1"], [[np.log((fast + 0.1) / (slow + 0.1)), 0, 0, 0]])


def test_the_user(make_events, make_snapshot, ask):
    events = make_events(
        ("ann", "a", 60), ("ann", "a", 80), ("ann", "b", 80), ("ann", "c", 90, c.PRODUCT_VIEW),
    )  # fmt: skip
    found = by_name(ask(events, "ann", "nobody"), make_snapshot(events))
    user = {name: values[:, 0] for name, values in found.items() if name.startswith("user_")}
    close(user["user_events"], np.log([1 + 4, 1]))
    close(user["user_sessions"], np.log([1 + 3, 1]))
    close(user["user_repeats"], [(3 - 2 + 1) / (3 + 2), 1 / 2])
    close(user["user_newest"], np.log([1 + 10, 1 + NEVER_DAYS]))
    close(user["user_oldest"], np.log([1 + 40, 1]))
    close(user["user_interval"], np.log([1 + (40 - 10) / 2, 1]))
    close(user["user_due"], [10 / ((40 - 10) / 2), 0])


def test_nothing_known_still_gives_numbers(make_events, make_features, make_snapshot, ask):
    events = make_events(("ann", "a", 120, c.PRODUCT_VIEW))
    features = make_features(
        **{c.PRICE: [None, 0.0, None, None], f.PRODUCT_AGE_DAYS: [None] * 4, c.CATEGORY: [None] * 4}
    )
    values = describe(ask(events, "nobody", "ann"), make_snapshot(events, features)).values
    assert np.isfinite(values).all()
    assert np.isfinite(values.astype(np.float16)).all(), "lists are kept as float16"


def test_random_features_are_finite(random_events, random_features, make_snapshot, ask):
    queries = ask(random_events, *(f"u{number}" for number in range(40)), "nobody", at=115)
    values = describe(queries, make_snapshot(random_events, random_features)).values
    assert np.isfinite(values.astype(np.float16)).all()
    assert values.dtype == np.float32


def test_one_candidate_and_none(random_events, random_features, make_snapshot, ask):
    snapshot = make_snapshot(random_events, random_features)
    queries = ask(random_events, "u1", "u2")
    every = describe(queries, snapshot)
    candidates = every_product(queries, snapshot)
    one = describe(queries, snapshot, candidates.where(np.arange(120) == 77))
    assert one.names == every.names
    np.testing.assert_array_equal(one.values, every.values[77:78])
    none = describe(queries, snapshot, candidates.where(np.zeros(120, bool)))
    assert none.names == every.names
    assert none.values.shape == (0, len(every.names))


def test_no_queries(random_events, random_features, make_snapshot, ask):
    snapshot = make_snapshot(random_events, random_features)
    assert len(describe(ask(random_events), snapshot).values) == 0


@pytest.mark.parametrize("at", [100, 115])
def test_a_query_alone_and_in_a_batch_are_described_alike(
    random_events, random_features, make_snapshot, ask, at
):
    snapshot = make_snapshot(random_events, random_features)
    profile = {
        f.AVG_PURCHASE_PRICE: np.linspace(1, 60, 41),
        f.CLICK_THROUGH_RATE: np.linspace(0, 1, 41),
        f.TOP_CATEGORIES[1]: [f"category {number % 8}" for number in range(41)],
    }
    queries = ask(
        random_events, *(f"u{number}" for number in range(40)), "nobody", at=at, **profile
    )
    scores = snapshot.scorers.catalogue_scores(queries, snapshot.vocabulary)
    taken = queries.seen(snapshot.vocabulary, [c.PURCHASE])
    shelves = Shelves.of(snapshot, CandidateOptions().new_days)
    candidates = propose(scores, shelves, taken, CandidateOptions())
    batch = pair_features(queries, candidates, scores, snapshot)
    for number in range(len(queries)):
        one = queries.slice(number, number + 1)
        scores = snapshot.scorers.catalogue_scores(one, snapshot.vocabulary)
        mine = propose(scores, shelves, taken[number : number + 1], CandidateOptions())
        rows = slice(candidates.offsets[number], candidates.offsets[number + 1])
        assert mine.product.tolist() == candidates.product[rows].tolist()
        assert mine.source.tolist() == candidates.source[rows].tolist()
        alone = pair_features(one, mine, scores, snapshot)
        assert alone.names == batch.names
        np.testing.assert_allclose(alone.values, batch.values[rows], rtol=1e-6, atol=1e-6)
