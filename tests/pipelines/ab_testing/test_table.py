import pytest
from rich.console import Console

from recsys_kedro.pipelines.ab_testing.nodes import analyse_experiments
from recsys_kedro.pipelines.ab_testing.table import experiments_table, headline_figures


@pytest.fixture(scope="module")
def results(simulated, options, end):
    def of(**habits):
        experiments, log = simulated(**habits)
        tables = (log.impressions, log.events, log.products)
        return analyse_experiments(*tables, experiments, options(), str(end))

    return of


def shown(results):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(experiments_table(results))
    return captured.get()


def test_headline_figures_of_what_was_judged(results):
    found = results(lift=0.5)
    comparison = found.experiments["ranker"].comparisons["new"]
    change = comparison.metrics["revenue_per_user"].relative
    assert headline_figures(found) == {
        "experiment/ranker/new/users": comparison.users + comparison.users_control,
        "experiment/ranker/new/revenue_per_user_change": change.value,
        "experiment/ranker/new/revenue_per_user_change_low": change.low,
        "experiment/ranker/new/revenue_per_user_change_high": change.high,
        "experiment/ranker/new/monthly_revenue": comparison.monthly_revenue.value,
    }


def test_a_broken_split_gives_no_figures(results):
    found = results(lift=0.5, lost=0.25)
    assert headline_figures(found) == {}
    assert "Cannot be judged" in shown(found)
    assert "%" not in shown(found)


def test_names_are_those_that_mlflow_takes(results):
    found = results(lift=0.5)
    renamed = found.model_copy(update={"experiments": {"a/b (c)": found.experiments["ranker"]}})
    assert "experiment/a_b _c_/new/users" in headline_figures(renamed)


def test_the_table_shows_verdict_and_money(results):
    text = shown(results(lift=0.5))
    assert "Ship" in text
    assert "revenue per user" in text
    assert "as of 2025-03-24 00:00 UTC" in text
