"""A season is judged on its last occurrence, with what lies before it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro import season_backtest
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import fit_model
from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.models.hybrid_lists import lists_to_learn_from
from recsys_kedro.promotion import Recipe
from recsys_kedro.season_backtest import (
    SERVED,
    WEIGHTED,
    LearnedFrom,
    judge_season,
    list_times,
    weighted_recipe,
)
from recsys_kedro.seasons import Season, SeasonsOptions
from recsys_kedro.training_lists import SamplingOptions
from recsys_kedro.training_requests import LABEL_END

WEEK = timedelta(weeks=1)
SUMMER = {"first": "08-01", "last": "09-15"}
SMALL = HybridOptions.model_validate(
    {"training": {"epochs": 1, "batch_size": 32}, "list_size": 32, "snapshots": 3}
)
HYBRID = Recipe(model="hybrid", settings=SMALL.model_dump(mode="json"))


def options(named=None, **changes):
    return SeasonsOptions(named={"summer": SUMMER} if named is None else named, **changes)


@pytest.fixture(scope="module")
def learned_from(old_shop):
    few = {"window_queries": 15, "session_queries": 5, "list_negatives": 20}
    return LearnedFrom(
        *old_shop, sampling=SamplingOptions(**few), features=FeatureOptions(), seed=1
    )


@pytest.fixture
def instead(monkeypatch):
    """Other models in the place of the hybrids, by the name of their recipe; their data."""

    def put(**models):
        fitted = {}

        def fit(_, settings, data, seed):
            name = WEIGHTED if settings["season"] else SERVED
            fitted[name] = data, settings
            return fit_model(models[name], {}, data, seed)

        monkeypatch.setattr(season_backtest, "fit_model", fit)
        return fitted

    return put


def test_the_latest_snapshots_and_those_of_the_season():
    start = datetime(2023, 1, 1, tzinfo=UTC)
    times = [start + number * WEEK for number in range(104)]
    season = Season(first="12-28", last="01-20")
    cut = datetime(2024, 6, 2, tzinfo=UTC)
    found = list_times(times, cut, season, 2 * WEEK, 3)
    of_2023 = [datetime(2023, 1, 15, tzinfo=UTC)]  # the first two weeks have no past
    of_winter = [datetime(2023, 12, 31, tzinfo=UTC) + number * WEEK for number in range(3)]
    latest = [cut - number * WEEK for number in (4, 3, 2, 1)]
    assert found == [*of_2023, *of_winter, *latest]
    assert list_times(times, times[0], season, WEEK, 3) == []


def test_the_weighted_recipe_is_the_served_one_with_its_season():
    warm = SMALL.model_copy(
        update={"training": SMALL.training.model_copy(update={"weights_folder": Path("weights")})}
    )
    served = Recipe(model="hybrid", settings=warm.model_dump(mode="json"))
    found = HybridOptions.model_validate(weighted_recipe(served, Season(**SUMMER), 3).settings)
    assert found.season is not None
    assert found.season.model_dump() == {**SUMMER, "weight": 3}
    assert found.training.weights_folder is None
    assert found.model_copy(update={"season": None}) == SMALL


def test_both_learn_from_what_lies_before_the_season_and_one_from_last_years_too(
    learned_from, instead
):
    fitted = instead(served="popularity", weighted="popularity")
    verdict = judge_season("summer", learned_from, HYBRID, options())
    assert verdict.judged_from in learned_from.times
    assert (
        datetime(2024, 8, 1, tzinfo=UTC) <= verdict.judged_from < datetime(2024, 8, 8, tzinfo=UTC)
    )
    assert verdict.judged_until == verdict.judged_from + timedelta(days=14)
    (one, settings), (other, plain) = fitted[WEIGHTED], fitted[SERVED]
    assert one is other
    assert one.cut == verdict.judged_from
    assert one.events[c.TIMESTAMP].max() < one.cut
    assert one.lists.requests[LABEL_END].max() <= one.cut
    years = one.lists.requests[f.SNAPSHOT_TIME].dt.year()
    assert sorted(years.unique()) == [2023, 2024]
    assert plain == {**settings, "season": None}
    assert verdict.difference == (0, 0, 0)
    assert verdict.passed
    assert verdict.users > 20
    assert verdict.figures[SERVED] == verdict.figures[WEIGHTED]


def test_with_few_lists_a_fit_goes_back_week_by_week_and_not_to_the_season(learned_from):
    """Fifteen of windows and up to five of visits per snapshot: fifty need three or four."""
    season, cut = Season(**SUMMER), learned_from.times[-1]
    recipe = HybridOptions(snapshots=1, lists=50)
    lists = learned_from.data(cut, season, recipe).lists
    finished = [time for time in learned_from.times if time + learned_from.split.horizon <= cut]
    used = lists_to_learn_from(lists, cut, recipe).requests[f.SNAPSHOT_TIME]
    assert used.min() in finished[-4:-2]
    assert not any(season.contains(time) for time in finished[-4:])
    assert any(season.contains(time) for time in lists.requests[f.SNAPSHOT_TIME].unique())


def test_what_comes_after_the_window_changes_nothing(learned_from):
    verdict = judge_season("summer", learned_from, HYBRID, options(weight=3))
    known = learned_from.events.filter(pl.col(c.TIMESTAMP) < verdict.judged_until)
    assert known.height < learned_from.events.height
    blind = judge_season("summer", replace(learned_from, events=known), HYBRID, options(weight=3))
    assert blind == verdict
    assert verdict.figures[SERVED] != verdict.figures[WEIGHTED]


@pytest.mark.parametrize(
    ("served", "weighted", "margin", "passed"),
    [
        ("own_history", "popularity", 0.005, False),
        ("own_history", "popularity", 1.0, True),
        ("popularity", "own_history", 0.0, True),
    ],
)
def test_only_what_is_no_worse_passes(learned_from, instead, served, weighted, margin, passed):
    instead(served=served, weighted=weighted)
    verdict = judge_season("summer", learned_from, HYBRID, options(margin=margin))
    assert verdict.passed is passed
    assert verdict.difference is not None
    value, low, high = verdict.difference
    assert low < value < high
    assert (value > 0) == (weighted == "own_history")
    assert f"may lose at most {margin}; {'passed' if passed else 'failed'}." in verdict.reason


@pytest.mark.parametrize(
    ("season", "message"),
    [
        (
            {"first": "01-02", "last": "01-12"},
            r"2024-01-02 to 2024-01-12: there are no lists of the season before that\. "
            r"They would need events from 14 days before it; snapshots begin on 2023-01-03\.",
        ),
        (
            {"first": "12-25", "last": "12-25"},
            r"2024-12-25 to 2024-12-25: no product snapshot lies in it",
        ),
    ],
)
def test_a_season_without_enough_before_it_is_not_judged(learned_from, season, message):
    verdict = judge_season("short", learned_from, HYBRID, options({"short": season}))
    assert not verdict.passed
    assert verdict.difference is None
    assert re.search(message, verdict.reason)


def test_a_baseline_has_no_lists_to_weigh(learned_from):
    verdict = judge_season("summer", learned_from, Recipe(model="ials"), options())
    assert (verdict.passed, verdict.alias) == (False, "season_summer")
    assert verdict.reason == "The served recipe is ials, which learns from no lists to weigh."
