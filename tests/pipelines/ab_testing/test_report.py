import re
from datetime import timedelta

import pytest
from pages import assert_needs_nothing_but_itself

from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.pipelines.ab_testing.nodes import analyse_experiments
from recsys_kedro.pipelines.ab_testing.options import AbTestingOptions
from recsys_kedro.pipelines.ab_testing.report import render_report
from recsys_kedro.pipelines.ab_testing.report_figures import (
    MINUS,
    change_in_words,
    difference_in_words,
    money_in_words,
    value_in_words,
)


@pytest.fixture(scope="module")
def render(options, end):
    def page(shop, chosen=None, name="corner_shop", as_of=end):
        experiments, log = shop
        chosen = chosen or options()
        tables = (log.impressions, log.events, log.products)
        results = analyse_experiments(*tables, experiments, chosen, str(as_of))
        page = render_report(results, chosen, name)
        assert page == render_report(results, chosen, name), "same results, same page"
        return page

    return page


@pytest.fixture(scope="module")
def page(render, simulated):
    return render(simulated(lift=0.5))


def test_the_page_needs_nothing_but_itself(page):
    assert_needs_nothing_but_itself(page)


def test_it_begins_with_the_verdict_and_the_money(page):
    parts = ["<h2>Ship: revenue per user got better", "revenue a month if all users get it"]
    parts += ["Can it be believed?", "metric by metric", "How the effect developed"]
    parts += ["Where in the list", "Exploratory.", "For the statistician", "How this was measured"]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert page.count("<svg") == 4


def test_a_gain_that_may_be_none_is_told_as_its_interval(render, simulated, page):
    unsure = render(simulated())
    money = re.search(r'<div class="money"><b>(.*?)</b>', unsure).group(1)
    assert re.fullmatch(rf"{MINUS}[\d,]+ to \+[\d,]+", money)
    assert "it may be nothing" in unsure
    assert "it may be nothing" not in page


def test_what_cannot_be_trusted_is_folded_away(render, simulated):
    page = render(simulated(lift=0.5, lost=0.25))
    assert "The figures, which cannot be trusted" in page
    assert 'class="money"' not in page
    assert "▲ better" not in page


def test_without_a_plan_nothing_decides(render, simulated):
    page = render(simulated(users=300), AbTestingOptions())
    assert "no plan was made beforehand" in page
    assert "<span>decides</span>" not in page
    assert 'class="money"' not in page


def test_every_treatment_has_its_part(render, simulated):
    page = render(simulated(treatments=("new", "newer"), users=600))
    assert "Verdict on new</p>" in page
    assert "Verdict on newer</p>" in page
    assert page.count("<svg") == 2 * 4
    assert "97.5%" in page


def test_before_it_begins_there_is_only_the_verdict(render, simulated, end):
    page = render(simulated(users=300), as_of=end - timedelta(days=30))
    assert "Cannot be judged: it begins on 3 March 2025" in page
    assert "<svg" not in page


def test_without_experiments_it_says_how_to_declare_one(render, simulated):
    _, log = simulated(users=300)
    page = render((Experiments(), log), AbTestingOptions())
    assert "No experiments are declared." in page
    assert "The log has experiments that are not declared: ranker." in page


def test_several_experiments_get_an_overview(render, simulated):
    experiments, log = simulated(users=300)
    layer = experiments.layers["ranking"]
    other = layer.model_copy(update={"experiments": {"a <b>": layer.experiments["ranker"]}})
    both = experiments.model_copy(update={"layers": {"ranking": layer, "other": other}})
    page = render((both, log))
    assert "All experiments" in page
    assert "a <b>" not in page
    assert_needs_nothing_but_itself(page)


def test_a_made_up_shop_is_called_simulated(render, simulated, page):
    assert "SIMULATED DATA" in render(simulated(users=300), name="simulated")
    assert "SIMULATED DATA" not in page


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (value_in_words(0.0421, "share"), "4.21%"),
        (value_in_words(1234.5, "money"), "1,234.50"),
        (value_in_words(None, "ms"), "n/a"),
        (difference_in_words(-0.004, "share"), f"{MINUS}0.40 pp"),
        (difference_in_words(0.00001, "share"), "0.00 pp"),
        (difference_in_words(12.0, "ms"), "+12.00"),
        (change_in_words(-0.00001), "0.0%"),
        (change_in_words(-0.1), f"{MINUS}10.0%"),
        (money_in_words(-1234.5), f"{MINUS}1,234"),
        (money_in_words(0.2), "0"),
    ],
)
def test_figures_are_written_in_their_unit(written, text):
    assert written == text
