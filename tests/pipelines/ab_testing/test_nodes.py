from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.pipelines.ab_testing.nodes import analyse_experiments, tabulate_effects
from recsys_kedro.pipelines.ab_testing.options import AbTestingOptions


@pytest.fixture(scope="module")
def small(simulated):
    return simulated(users=300)


def analyse(small, options, as_of=None):
    experiments, log = small
    return analyse_experiments(
        log.impressions, log.events, log.products, experiments, options, as_of
    )


def test_without_a_time_it_is_just_after_the_log(small, options):
    _, log = small
    last = max(table[c.TIMESTAMP].max() for table in (log.impressions, log.events))
    assert analyse(small, options()).as_of == last + timedelta(microseconds=1)


def test_the_log_before_as_of_is_all_that_counts(small, options, end):
    experiments, log = small
    early = end - timedelta(days=7)
    cut = [table.filter(pl.col(c.TIMESTAMP) < early) for table in (log.impressions, log.events)]
    of_cut = analyse_experiments(*cut, log.products, experiments, options(), str(early))
    found = analyse(small, options(), str(early))
    assert_frame_equal(tabulate_effects(found), tabulate_effects(of_cut), check_exact=False)
    assert found.experiments["ranker"].verdicts == of_cut.experiments["ranker"].verdicts


def test_tables_may_be_scans(small, options):
    experiments, log = small
    tables = [table.lazy() for table in (log.impressions, log.events, log.products)]
    found = analyse_experiments(*tables, experiments, options(), None)
    expected = tabulate_effects(analyse(small, options()))
    assert_frame_equal(tabulate_effects(found), expected, check_exact=False)


def test_a_plan_for_what_is_not_declared_is_an_error(small, options):
    _, log = small
    plans = options().plans
    typo = AbTestingOptions(plans={"rankre": plans["ranker"]})
    with pytest.raises(ValueError, match=r"plans: \['rankre'\] are not declared; there are ranker"):
        analyse(small, typo)
    with pytest.raises(ValueError, match="there is no experiment"):
        analyse((Experiments(), log), typo)


def test_what_is_in_the_log_and_not_declared_is_said(small):
    _, log = small
    results = analyse((Experiments(), log), AbTestingOptions())
    assert results.undeclared == ("ranker",)
    assert results.experiments == {}
    assert tabulate_effects(results).is_empty()


@pytest.mark.parametrize("as_of", ["yesterday", "2025-03-24T00:00:00"])
def test_a_time_is_one_with_its_zone(small, options, as_of):
    with pytest.raises(ValueError, match=f"as_of: '{as_of}' is not a time with its zone"):
        analyse(small, options(), as_of)


def test_a_time_of_another_zone_is_the_same_time(small, options):
    found = analyse(small, options(), "2025-03-24T02:00:00+02:00").as_of
    assert found.isoformat() == "2025-03-24T00:00:00+00:00"


def test_an_empty_log_has_no_time(small):
    experiments, log = small
    nothing = (log.impressions.clear(), log.events.clear())
    with pytest.raises(ValueError, match="are empty, so there is no time"):
        analyse_experiments(*nothing, log.products, experiments, AbTestingOptions(), None)
