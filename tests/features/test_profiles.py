from datetime import timedelta

import narwhals as nw
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.profiles import with_profiles
from recsys_kedro.features.user import user_features

OPTIONS = FeatureOptions()


def requests_of(*users):
    return pl.DataFrame({c.USER_ID: users, "place": list(range(len(users)))})


@pytest.fixture(scope="module")
def tables(random_shop):
    return random_shop(6, size=600)


def test_the_profile_is_the_row_of_the_user_features(tables, as_of):
    table = user_features(*(nw.from_native(t.lazy()) for t in tables), as_of, OPTIONS)
    features = table.to_native().collect()
    users = features[c.USER_ID].to_list()[::3]
    profiles = with_profiles(requests_of(*users), *tables, as_of, OPTIONS)
    expected = features.filter(pl.col(c.USER_ID).is_in(users))
    assert profiles.drop("place").equals(expected.select(profiles.drop("place").columns))


def test_requests_keep_their_order_and_may_repeat_a_user(tables, as_of):
    asked = requests_of("u7", "nobody", "u3", "u7")
    profiles = with_profiles(asked, *tables, as_of, OPTIONS)
    assert profiles.select(c.USER_ID, "place").equals(asked)
    assert profiles[0].drop("place").equals(profiles[3].drop("place"))


def test_a_user_whom_no_table_knows_has_an_empty_profile(tables, as_of):
    profile = with_profiles(requests_of("nobody"), *tables, as_of, OPTIONS).row(0, named=True)
    assert (profile[f.TOTAL_PURCHASES], profile[f.TOP_CATEGORIES[0]]) == (None, None)


def test_nothing_from_as_of_on_is_seen(make_events, make_products, make_users, as_of):
    past = {c.EVENT_TYPE: c.PURCHASE, c.PRICE: 2.0, "ago": timedelta(microseconds=1)}
    now = {c.EVENT_TYPE: c.PURCHASE, c.PRICE: 90.0, "ago": timedelta(0)}
    tables = (make_events(past, now), make_products(), make_users())
    profile = with_profiles(requests_of("u"), *tables, as_of, OPTIONS).row(0, named=True)
    assert (profile[f.TOTAL_PURCHASES], profile[f.AVG_PURCHASE_PRICE]) == (1, 2.0)
