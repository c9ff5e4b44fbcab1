import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments.logged_choices import without_exploration
from recsys_kedro.experiments.off_policy import OffPolicyOptions, inverse_propensity


def test_only_the_best_that_was_left_is_kept(make_impressions):
    """Two slots of three showed the best, with chance 0.9; a drawn one with 0.02."""
    rows = [(1, "ann", 0.9, True), (2, "ann", 0.02, True), (1, "bob", 0.9, False)]
    shown = make_impressions(
        *({c.POSITION: at, c.USER_ID: user, c.PROPENSITY: chance} for at, user, chance, _ in rows)
    ).collect()
    shown = shown.with_columns(pl.Series("clicked", [clicked for *_, clicked in rows]))
    choices = without_exploration(shown, "clicked")
    assert choices.target.tolist() == [1, 0, 1]
    assert choices.reward.tolist() == [1, 1, 0]
    assert choices.unit[0] == choices.unit[1] != choices.unit[2]
    value = inverse_propensity(choices, OffPolicyOptions())
    assert value.value == (1 / 0.9 + 0 + 0) / 3


def test_half_of_the_slots_drawn_is_told_apart_still(make_impressions):
    """With a share of 0.5 of two candidates the best has 0.75, the other 0.25."""
    shown = make_impressions({c.PROPENSITY: 0.75}, {c.PROPENSITY: 0.25}).collect()
    shown = shown.with_columns(pl.Series("clicked", [False, False]))
    assert without_exploration(shown, "clicked").target.tolist() == [1, 0]
