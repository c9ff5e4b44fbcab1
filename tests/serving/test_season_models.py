"""A season's own model answers in it, unless an A/B test says otherwise."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.fitting import training_data
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.models.popularity import Popularity
from recsys_kedro.options import Options
from recsys_kedro.seasons import SeasonsOptions
from recsys_kedro.serving.cache import LocalCache
from recsys_kedro.serving.recommender import RecommenderService

SEASONS = SeasonsOptions.model_validate(
    {
        "named": {
            "winter": {"first": "11-15", "last": "01-06"},
            "summer": {"first": "06-01", "last": "08-31"},
        }
    }
)
AUTUMN, WINTER, SUMMER = (datetime(2025, month, 20, 12, tzinfo=UTC) for month in (10, 12, 7))


@pytest.fixture(scope="module")
def models(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    data = training_data(*tables, shop_split, shop_split.as_of)
    return ItemKNN.fit(data, ItemKNNOptions(), seed=1), Popularity.fit(data, Options(), seed=1)


@pytest.fixture
def served_by(models, shop_snapshot):
    """The version that answers users at a time: 7 is the champion's, 3 that of the winter."""

    def versions(now, experiments=None, cache=None, users=("ann", "ben"), **request):
        others = {"season_winter": (models[1], "3"), "popular": (models[1], "2")}
        service = RecommenderService(
            models[0],
            shop_snapshot,
            "7",
            others,
            experiments or Experiments(),
            SEASONS,
            cache=cache,
        )
        times = now if isinstance(now, list) else [now]
        return [
            answer.model_version
            for time in times
            for answer in service.answer([{"user_id": u, **request} for u in users], time)
        ]

    return versions


@pytest.mark.parametrize(("now", "version"), [(AUTUMN, "7"), (WINTER, "3"), (SUMMER, "7")])
def test_the_date_picks_the_model_and_a_season_without_one_is_the_champions(
    served_by, now, version
):
    assert served_by(now) == [version, version]


def test_the_time_of_the_request_counts_in_utc(served_by):
    assert served_by(AUTUMN, context={"time": WINTER.isoformat()}) == ["3", "3"]
    east = datetime(2025, 11, 15, 8, tzinfo=timezone(timedelta(hours=9)))
    assert served_by(AUTUMN, context={"time": east.isoformat()}) == ["7", "7"]


def test_lists_of_the_season_and_others_share_a_cache_and_do_not_mix(served_by):
    times = [WINTER, AUTUMN, WINTER]
    assert served_by(times, cache=LocalCache(100, 60), users=["ann"]) == ["3", "7", "3"]


def test_a_test_that_names_a_model_wins_over_the_season(served_by):
    def experiments(**models):
        variants = {name: {"model": model} if model else {} for name, model in models.items()}
        fields = {"start": WINTER - timedelta(days=7), "end": WINTER + timedelta(days=7)}
        experiment = {**fields, "control": "one", "variants": variants}
        experiment["overrides"] = {"ann": "one", "ben": "two"}
        return Experiments.model_validate({"layers": {"l": {"experiments": {"e": experiment}}}})

    assert served_by(WINTER, experiments(one="champion", two="popular")) == ["7", "2"]
    assert served_by(WINTER, experiments(one="popular", two=None)) == ["2", "3"]
    assert served_by(SUMMER, experiments(one="popular", two=None)) == ["2", "7"]
