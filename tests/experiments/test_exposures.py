import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.experiments.exposures import (
    Scope,
    crossovers,
    exposed_units,
    of_experiment,
)
from recsys_kedro.schemas import VARIANTS


def test_who_took_part(make_impressions, scope):
    shown = make_impressions(
        {"at": 30, c.DEVICE_TYPE: "mobile", c.HISTORY_LENGTH: 4},
        {"at": 20, c.DEVICE_TYPE: "desktop", c.HISTORY_LENGTH: 3},
        {"at": 50, c.USER_ID: "ben", c.VARIANT: "new"},
    )
    units = exposed_units(shown, scope).sort(c.USER_ID).collect()
    columns = [c.USER_ID, c.VARIANT, e.FIRST_DAY, c.DEVICE_TYPE, c.HISTORY_LENGTH]
    assert units.select(columns).rows() == [
        ("ann", "old", 0, "desktop", 3),
        ("ben", "new", 2, None, 0),
    ]
    hours = (units[e.FIRST_EXPOSURE] - scope.start).dt.total_hours()
    assert hours.to_list() == [20, 50]


def test_who_saw_two_variants_belongs_to_none(make_impressions, scope):
    shown = make_impressions({}, {c.VARIANT: "new"}, {c.USER_ID: "ben"})
    assert exposed_units(shown, scope).collect()[c.USER_ID].to_list() == ["ben"]
    assert crossovers(shown, scope) == 1


def test_nobody_crossed_over(make_impressions, scope):
    assert crossovers(make_impressions({}, {c.USER_ID: "ben", c.VARIANT: "new"}), scope) == 0
    assert crossovers(make_impressions(), scope) == 0


@pytest.mark.parametrize(
    "row", [{"at": -0.1}, {"at": 240}, {c.EXPERIMENT: None, c.VARIANT: None}, {c.EXPERIMENT: "b"}]
)
def test_what_is_not_of_the_experiment(make_impressions, scope, row):
    shown = make_impressions(row, {"at": 239.9})
    assert of_experiment(shown, scope).select(pl.len()).collect().item() == 1
    assert exposed_units(shown, scope).collect().height == 1


def test_a_user_of_two_experiments_is_seen_by_both(make_impressions, scope):
    of_test, of_other = ({c.EXPERIMENT: name, c.VARIANT: "new"} for name in ("test", "other"))
    both = pl.lit([of_other, of_test], VARIANTS)
    shown = make_impressions({}).with_columns(both.alias(c.VARIANTS))
    for experiment in ("test", "other"):
        units = exposed_units(shown, Scope(experiment, scope.start, scope.end)).collect()
        assert units.select(c.USER_ID, c.VARIANT).rows() == [("ann", "new")]
