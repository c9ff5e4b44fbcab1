from datetime import timedelta

import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.history import past_baselines, past_windows, window_moments
from recsys_kedro.experiments.unit_metrics import metric_named
from recsys_kedro.experiments.unit_totals import TotalsOptions

REVENUE, CONVERSION = metric_named("revenue_per_user"), metric_named("conversion")
PRODUCTS = pl.DataFrame({c.PRODUCT_ID: ["p", "q"], c.PRICE: [7.0, None]})
TOTALS = TotalsOptions(pre_days=7)
WEEK = 24 * 7


@pytest.fixture
def events(make_events):
    """A week, and the one before: ann buys in both, bob looks only, eve came before only."""
    bought = {c.EVENT_TYPE: c.PURCHASE}
    return make_events(
        {c.USER_ID: "ann", "at": 1, c.PRICE: 10.0, **bought, c.SESSION_ID: "1"},
        {c.USER_ID: "ann", "at": 1 - WEEK, c.PRICE: 4.0, **bought, c.SESSION_ID: "2"},
        {c.USER_ID: "bob", "at": 5, c.EVENT_TYPE: c.PRODUCT_VIEW, c.SESSION_ID: "3"},
        {c.USER_ID: "eve", "at": 2 - WEEK, c.PRICE: 9.0, **bought, c.SESSION_ID: "4"},
    ).collect()


def test_the_users_of_a_window_are_who_came_in_it(events, scope):
    end = scope.start + timedelta(days=7)
    moments = window_moments(events, PRODUCTS, scope.start, end, [REVENUE, CONVERSION], TOTALS)
    revenue, conversion = moments["revenue_per_user"], moments["conversion"]
    assert float(revenue.count) == 2  # ann and bob
    assert revenue.mean.tolist() == [(10 + 0) / 2, 1, (4 + 0) / 2, 1]
    assert conversion.mean[0] == 1 / 2


def test_a_purchase_without_a_price_has_that_of_the_table(make_events, scope):
    events = make_events({c.EVENT_TYPE: c.PURCHASE, "at": 1}).collect()
    end = scope.start + timedelta(days=1)
    moments = window_moments(events, PRODUCTS, scope.start, end, [REVENUE], TOTALS)
    assert moments["revenue_per_user"].mean[0] == 7


def test_baselines_are_of_the_windows_that_end_at_a_time(events, scope):
    end = scope.start + timedelta(days=7)
    week, fortnight = past_baselines(events, PRODUCTS, end, [7, 14], REVENUE, TOTALS, cuped=False)
    assert (week.days, week.units, week.value) == (7, 2, 10 / 2)
    assert week.variance == (10 - 5) ** 2 + (0 - 5) ** 2  # over 2 - 1
    assert (fortnight.units, fortnight.value) == (3, (14 + 0 + 9) / 3)


def test_cuped_takes_the_square_of_the_correlation_off_the_variance(shop_events, shop, shop_split):
    windows = past_windows(
        shop_events, shop.products, shop_split.as_of, 28, 1, [REVENUE], TotalsOptions()
    )
    plain, adjusted = (
        past_baselines(
            shop_events, shop.products, shop_split.as_of, [28], REVENUE, TotalsOptions(), cuped
        )[0].variance
        for cuped in (False, True)
    )
    correlation = windows["correlation"][0]
    assert 0 < correlation < 1
    assert adjusted == pytest.approx(plain * (1 - correlation**2))
    assert windows["deviation"][0] == pytest.approx(plain**0.5)


def test_windows_lie_one_before_the_other(events, scope):
    end = scope.start + timedelta(days=7)
    table = past_windows(events, PRODUCTS, end, 7, 2, [REVENUE], TOTALS)
    assert table["start"].to_list() == [scope.start, scope.start - timedelta(days=7)]
    assert table.select("users", "value").rows() == [(2, 10 / 2), (2, (4 + 9) / 2)]


def test_a_window_in_which_nobody_came_is_an_error(events, scope):
    start = scope.start + timedelta(days=70)
    with pytest.raises(ValueError, match="none between 2025-05-12 and 2025-05-13"):
        window_moments(events, PRODUCTS, start, start + timedelta(days=1), [REVENUE], TOTALS)
