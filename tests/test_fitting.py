from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import (
    SCORE,
    choose_settings,
    figures_of,
    fit_model,
    queries_at,
    recommend_tasks,
    started_users,
    training_data,
)
from recsys_kedro.models.base import TrainingData, Validation
from recsys_kedro.models.popularity import RecentPopularityOptions
from recsys_kedro.schemas import PRODUCTS, USERS
from recsys_kedro.splits import TimeSplit, window_truth
from recsys_kedro.training_requests import LABEL_END

MICROSECOND = timedelta(microseconds=1)
SLOW, FAST = RecentPopularityOptions(half_life_days=1e6), RecentPopularityOptions(half_life_days=1)


def table(schema, **columns):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    height = max((len(values) for values in columns.values()), default=0)
    return pl.DataFrame({name: columns.get(name, [None] * height) for name in types}, schema=types)


@pytest.fixture(scope="module")
def split(day):
    return TimeSplit(
        validation_start=day(40),
        test_start=day(50),
        end=day(60),
        as_of=day(60),
        horizon_days=10,
        target_event_types=(c.PURCHASE,),
    )


@pytest.fixture(scope="module")
def events(make_events):
    """``old`` sold most; ``hot`` sold last, and goes on in the validation window."""
    return make_events(
        ("ann", "old", 1), ("ben", "old", 2), ("cy", "old", 3), ("cy", "hot", 39),
        ("ann", "hot", 41), ("ben", "hot", 42), ("new", "old", 43), ("ann", "later", 55),
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(events, split, day):
    """Data of the first fit, with validation."""
    truth = window_truth(events, day(40), day(50), split)
    queries = queries_at(truth, events, table(PRODUCTS), table(USERS), day(40), FeatureOptions())
    past = events.filter(pl.col(c.TIMESTAMP) < day(40))
    return TrainingData(
        past,
        table(PRODUCTS),
        table(USERS),
        day(40),
        (c.PURCHASE,),
        validation=Validation(queries, truth),
    )


def test_training_data_ends_before_the_cut(
    shop, shop_events, shop_snapshots, shop_lists, shop_split
):
    cut = shop_split.validation_start
    times = [cut - MICROSECOND, cut, None]
    products = table(PRODUCTS, **{c.PRODUCT_ID: ["a", "b", "c"], c.CREATED_AT: times})
    users = table(USERS, **{c.USER_ID: ["u", "v", "w"], c.CREATED_AT: times})
    at_cut = shop_events[:2].with_columns(
        pl.Series(c.TIMESTAMP, times[:2], pl.Datetime("us", "UTC"))
    )
    events = pl.concat([shop_events, at_cut])
    data = training_data(events, products, users, shop_snapshots, shop_lists, shop_split, cut)
    assert data.events[c.TIMESTAMP].max() == cut - MICROSECOND
    assert data.events.height == events.filter(pl.col(c.TIMESTAMP) < cut).height
    assert data.products[c.PRODUCT_ID].to_list() == ["a", "c"]
    assert data.users[c.USER_ID].to_list() == ["u", "w"]
    assert data.product_snapshots[f.SNAPSHOT_TIME].max() == cut
    assert shop_snapshots[f.SNAPSHOT_TIME].max() > cut
    assert data.lists.requests[LABEL_END].max() <= cut
    assert data.lists.requests.height > 0
    assert (data.cut, data.target_event_types) == (cut, (c.PURCHASE,))


def test_everybody_is_asked_once_with_a_profile_as_of_the_cut(events, day):
    asked = pl.DataFrame({c.USER_ID: ["cy", "ann", "cy", "new"]})
    queries = queries_at(asked, events, table(PRODUCTS), table(USERS), day(40), FeatureOptions())
    assert queries.requests[c.USER_ID].to_list() == ["ann", "cy", "new"]
    assert set(queries.requests[c.AS_OF]) == {day(40)}
    assert queries.history[c.PRODUCT_ID].to_list() == ["old", "old", "hot"]
    purchases = queries.profile(f.TOTAL_PURCHASES)
    np.testing.assert_array_equal(purchases, [0, 1, np.nan])
    assert queries.requests[f.DAYS_SINCE_LAST_VISIT].to_list() == [39, 1, None]


def test_lists_for_both_tasks(data):
    model = fit_model("popularity", {}, data, seed=1)
    lists = recommend_tasks(model, data.validation.queries)
    assert lists.columns == [c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK, c.SCORE]
    assert lists[c.MODEL].unique().to_list() == ["popularity"]
    ann = lists.filter(pl.col(c.USER_ID) == "ann").select(c.TASK, c.PRODUCT_ID, c.RANK)
    expected = [("all", "old", 1), ("all", "hot", 2), ("new", "hot", 1)]
    assert list(ann.iter_rows()) == expected


def test_users_without_history_are_left_out_of_the_figures(data, day):
    truth = started_users(data.validation.truth, data.events, day(40))
    assert set(data.validation.truth[c.USER_ID]) == {"ann", "ben", "new"}
    assert set(truth[c.USER_ID]) == {"ann", "ben"}
    started_now = started_users(data.validation.truth, data.events, day(2))
    assert set(started_now[c.USER_ID]) == {"ann"}


def test_figures_are_means_over_users_and_tasks():
    truth = pl.DataFrame(
        [("all", "ann", "a"), ("all", "ben", "b"), ("new", "ben", "b")],
        [c.TASK, c.USER_ID, c.PRODUCT_ID],
        orient="row",
    )
    lists = pl.DataFrame(
        [
            ("all", "m", "ann", "a", 1),
            ("all", "m", "ben", "a", 1),
            ("all", "m", "ben", "b", 2),
            ("new", "m", "ben", "b", 3),
        ],
        [c.TASK, c.MODEL, c.USER_ID, c.PRODUCT_ID, c.RANK],
        orient="row",
    )
    figures = figures_of(truth, lists)
    of_all, of_new = (1 + 1 / np.log2(3)) / 2, 1 / np.log2(4)
    assert figures["all_ndcg@10"] == pytest.approx(of_all)
    assert figures["new_ndcg@10"] == pytest.approx(of_new)
    assert figures[SCORE] == pytest.approx((of_all + of_new) / 2)


@pytest.mark.parametrize("settings", [[SLOW, FAST], [FAST, SLOW]])
def test_the_best_setting_is_chosen(data, settings):
    choice, recommendations = choose_settings("recent_popularity", settings, data, seed=1)
    assert choice.settings == {"half_life_days": 1}
    assert choice.figures == {"all_ndcg@10": 1, "new_ndcg@10": 1, SCORE: 1}
    tried = {trial["settings"]["half_life_days"]: trial["figures"] for trial in choice.trials}
    assert tried[1e6]["all_ndcg@10"] == pytest.approx(1 / np.log2(3))
    top = recommendations.filter(pl.col(c.RANK) == 1, pl.col(c.TASK) == c.TASK_ALL)
    assert top.select(c.USER_ID, c.PRODUCT_ID).rows() == [
        (user, "hot") for user in ("ann", "ben", "new")
    ]
    assert choice.epochs == []


def test_of_equal_settings_the_first_stays(data):
    nearly = RecentPopularityOptions(half_life_days=0.5)
    choice, _ = choose_settings("recent_popularity", [nearly, FAST], data, seed=1)
    assert choice.settings == {"half_life_days": 0.5}


def test_the_choice_can_be_fitted_again(data):
    choice, expected = choose_settings("recent_popularity", [FAST], data, seed=1)
    model = fit_model(choice.model, choice.settings, data, seed=1)
    assert recommend_tasks(model, data.validation.queries).equals(expected)


def test_without_validation_nothing_can_be_chosen(data):
    blind = TrainingData(data.events, data.products, data.users, data.cut, (c.PURCHASE,))
    with pytest.raises(ValueError, match="popularity: settings can only be chosen with validation"):
        choose_settings("popularity", [SLOW], blind, seed=1)
