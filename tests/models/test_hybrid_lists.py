"""Which lists are learned from: the latest, those of a season, and by which features."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import training_data
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.models.hybrid_lists import lists_to_learn_from
from recsys_kedro.queries import build_queries
from recsys_kedro.ranking.candidates import Candidates
from recsys_kedro.ranking.season import SEASON_FEATURES
from recsys_kedro.training_lists import SamplingOptions, build_training_lists
from recsys_kedro.training_requests import LABEL_END

FEW = {"window_queries": 15, "session_queries": 5, "list_negatives": 20}
SMALL = {"training": {"epochs": 1, "batch_size": 32}, "list_size": 32}
SEASON = {"first": "08-20", "last": "10-10"}


@pytest.fixture(scope="module")
def lists_at(old_shop):
    """Lists of the snapshots that a Boolean expression keeps."""

    def build(keep, **options):
        return build_training_lists(
            old_shop.events,
            old_shop.products,
            old_shop.users,
            old_shop.snapshots.filter(keep),
            old_shop.split,
            SamplingOptions(**FEW, **options),
            FeatureOptions(),
            seed=1,
        )

    return build


@pytest.fixture(scope="module")
def times(old_shop):
    return old_shop.snapshots[f.SNAPSHOT_TIME].unique().sort().to_list()


@pytest.fixture(scope="module")
def lists(lists_at, times):
    """Of the last 20 weeks, and of 20 weeks a year ago."""
    return lists_at(pl.col(f.SNAPSHOT_TIME).is_in([*times[-73:-53], *times[-21:-1]]))


def learned(lists, cut, **options):
    return lists_to_learn_from(lists, cut, HybridOptions.model_validate(options))


def counts_by_time(lists):
    return dict(lists.requests.group_by(f.SNAPSHOT_TIME).len().iter_rows())


def test_without_a_season_the_latest_count_once(lists, old_shop):
    cut = old_shop.split.test_start
    found, expected = learned(lists, cut, snapshots=4), lists.known_at(cut, 4)
    assert found.requests.equals(expected.requests)
    assert found.feature_names == lists.feature_names


def test_lists_of_the_season_are_learned_from_more_often(lists, old_shop):
    cut = old_shop.split.test_start
    found = learned(lists, cut, snapshots=4, season={**SEASON, "weight": 3})
    known, recent = (counts_by_time(lists.known_at(cut, number)) for number in (None, 4))
    assert found.requests[LABEL_END].max() <= cut
    in_season = {time for time in known if "08-20" <= f"{time:%m-%d}" <= "10-10"}
    assert {time.year for time in in_season} == {2023, 2024}
    expected = {time: 3 * known[time] for time in in_season}
    expected |= {time: count for time, count in recent.items() if time not in in_season}
    assert counts_by_time(found) == expected
    assert found.requests[f.SNAPSHOT_TIME].is_sorted()


def test_a_season_that_is_not_there_changes_nothing(lists, old_shop):
    cut = old_shop.split.test_start
    with_season = learned(lists, cut, snapshots=4, season={"first": "03-01", "last": "03-31"})
    assert with_season.requests.equals(lists.known_at(cut, 4).requests)


def test_the_season_of_products_is_not_learned_where_a_snapshot_lacks_it(lists_at, old_shop, times):
    bought = old_shop.events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
    since = bought[c.TIMESTAMP].min() + timedelta(days=364 + 28)
    first_to_know = next(time for time in times if time >= since)
    place = times.index(first_to_know)
    lists = lists_at(pl.col(f.SNAPSHOT_TIME).is_in(times[place - 4 : place + 6]))
    assert set(SEASON_FEATURES) <= set(lists.feature_names)
    values = lists.features[:, lists.feature_names.index("season")]
    query = np.repeat(np.arange(lists.requests.height), np.diff(lists.offsets))
    knows = lists.requests[f.SNAPSHOT_TIME][query[values != 0]].unique().sort().to_list()
    assert knows == times[place : place + 6]
    young = learned(lists, times[place + 5], snapshots=10)  # five know it, four do not
    assert young.feature_names == tuple(n for n in lists.feature_names if n not in SEASON_FEATURES)
    assert young.features.shape == (len(young.product), len(young.feature_names))
    assert young.options.scorers.season_days == 0
    older = learned(lists, times[place + 5], snapshots=3)
    assert older.feature_names == lists.feature_names
    assert older.options == lists.options


@pytest.mark.parametrize("season_days", [0, 28])
def test_training_and_serving_describe_candidates_alike(lists_at, old_shop, times, season_days):
    """Of a snapshot at the cut, whose lists are not learned from as their labels end later."""
    cut = times[-5]
    lists = lists_at(
        pl.col(f.SNAPSHOT_TIME).is_in(times[-10:-4]), scorers={"season_days": season_days}
    )
    tables = old_shop.events, old_shop.products, old_shop.users, old_shop.snapshots
    data = training_data(*tables, lists, old_shop.split, cut)
    model = Hybrid.fit(data, HybridOptions.model_validate(SMALL), seed=1)
    assert (set(SEASON_FEATURES) <= set(lists.feature_names)) == (season_days > 0)
    at_cut = lists.requests.with_row_index("row").filter(
        pl.col(f.SNAPSHOT_TIME) == cut, ~pl.col(c.LIVE)
    )
    rows = at_cut["row"].to_numpy().astype(np.int64)
    there = lists.take(rows)
    product = model.snapshot.vocabulary.encode(there.products.ids)[there.product]
    query = np.repeat(np.arange(len(rows)), np.diff(there.offsets))
    order = np.lexsort((product, query))
    asked = Candidates(query, product[order], np.zeros(len(query), np.int8), there.offsets)
    queries = build_queries(data.events, at_cut.drop("row"))
    pairs = model.retrieve(queries, asked).pairs
    np.testing.assert_allclose(
        pairs, there.features[order].astype(np.float32), atol=4e-3, rtol=2e-3
    )
