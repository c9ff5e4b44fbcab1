from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.monitoring.answers import answers_of
from recsys_kedro.monitoring.business import business_figures


def test_three_answers(make_shown, by_name):
    shown = make_shown(
        {c.RECOMMENDATION_ID: "r", e.CLICKED: True, e.PURCHASED: True, e.REVENUE: 12.0},
        {c.RECOMMENDATION_ID: "r", c.POSITION: 2},
        {c.USER_ID: "ben", c.HISTORY_LENGTH: 0, e.CLICKED: True},
        {c.USER_ID: "cy", c.HISTORY_LENGTH: 0},
    )
    figures = by_name(business_figures(answers_of(shown)))
    assert figures["ctr", "all"].value == 2 / 4
    assert figures["ctr", "history_length=0"].value == 1 / 2
    assert figures["conversion", "all"].value == 1 / 3
    assert figures["conversion", "history_length=0"][2:] == (0, 2, 0, 1)
    assert figures["revenue_per_thousand_answers", "all"].value == 12 / 3 * 1_000
    assert figures["revenue_per_thousand_impressions", "all"].value == 12 / 4 * 1_000
    assert figures["ctr", "all"].n == 4
    assert figures["conversion", "all"].n == 3


def test_no_answer_has_no_figure(make_shown):
    figures = business_figures(answers_of(make_shown()))
    assert figures
    assert all(each.value is None and each.n == 0 for each in figures)
