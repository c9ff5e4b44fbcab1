import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models.ease import EASE, EASEOptions
from recsys_kedro.models.ials import IALS, IALSOptions
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.models.own_history import OwnHistory, OwnHistoryOptions
from recsys_kedro.models.popularity import Popularity, PopularityOptions, RecentPopularity

HISTORY_MODELS = [
    (OwnHistory, OwnHistoryOptions()),
    (ItemKNN, ItemKNNOptions()),
    (EASE, EASEOptions(l2=1)),
    (IALS, IALSOptions(factors=2)),
]


def products_of(frame, query=0):
    return frame.filter(pl.col(c.QUERY) == query)[c.PRODUCT_ID].to_list()


@pytest.mark.parametrize(("model", "options"), HISTORY_MODELS)
def test_a_user_without_history_gets_the_popular_list(model, options, events, make_data, ask):
    fitted = model.fit(make_data(events), options, seed=0)
    # With 14 days: a 0.5**(40/14) + 0.5**(20/14) + 0.5**(30/14) = 0.74, b 0.61, 🫖 0.36, c 0.05
    found = fitted.recommend(ask(events, "nobody"), 10, exclude_seen=True)
    assert products_of(found) == ["a", "b", "🫖", "c"]


@pytest.mark.parametrize(("model", "options"), HISTORY_MODELS)
def test_an_event_after_the_cut_counts_without_a_refit(
    model, options, events, make_events, make_data, ask
):
    fitted = model.fit(make_data(events), options, seed=0)
    new = make_events(("nobody", "c", -1))
    found = fitted.recommend(ask(new, "nobody", days_after=2), 1, exclude_seen=False)
    assert products_of(found) == ["c"]


def test_the_model_knows_what_was_viewed_but_not_what_was_only_returned(
    make_events, make_data, ask
):
    events = make_events(("ann", "a", 3), ("ann", "seen", 2, c.CLICK), ("ann", "r", 1, c.RETURN))
    fitted = Popularity.fit(make_data(events), PopularityOptions(), seed=0)
    found = fitted.recommend(ask(events, "ann"), 9, exclude_seen=False)
    assert products_of(found) == ["a", "seen"]


def test_fit_without_target_events_says_what_is_missing(make_events, make_data):
    events = make_events(("ann", "a", 3, c.CLICK))
    message = r"popularity: events has 1 rows before 2024-03-01 and no purchase .* split\."
    with pytest.raises(ValueError, match=message):
        Popularity.fit(make_data(events), PopularityOptions(), seed=0)


def test_load_refuses_the_folder_of_another_model(events, make_data, tmp_path):
    Popularity.fit(make_data(events), PopularityOptions(), seed=0).save(tmp_path)
    with pytest.raises(ValueError, match="holds the model 'popularity', not 'recent_popularity'"):
        RecentPopularity.load(tmp_path)
