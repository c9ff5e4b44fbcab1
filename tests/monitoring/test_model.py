import math

import numpy as np
import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.metrics.beyond_accuracy import Catalogue
from recsys_kedro.monitoring.answers import answers_of
from recsys_kedro.monitoring.model import model_figures, score_bands
from recsys_kedro.vocabulary import Vocabulary

SHOP = Catalogue(
    vocabulary=Vocabulary.fit(["a", "b", "p", "q"]),
    category_P=np.array([0, 0, 1, 1]),
    takers_P=np.array([8, 2, 1, 0]),
    users=16,
)


@pytest.fixture
def figures_of(by_name):
    return lambda shown: by_name(model_figures(shown, answers_of(shown), SHOP))


def listed(answer, scores, clicked=(), **columns):
    """A list of products with these scores, of a user of its own; the clicked positions."""
    return [
        {
            c.RECOMMENDATION_ID: answer,
            c.USER_ID: answer,
            c.POSITION: place,
            c.SCORE: score,
            e.CLICKED: place in clicked,
            **columns,
        }
        for place, score in enumerate(scores, start=1)
    ]


def test_fallbacks_by_kind(make_shown, figures_of):
    shown = make_shown({}, {c.FALLBACK: "unknown_user", c.HISTORY_LENGTH: 0}, {}, {})
    figures = figures_of(shown)
    assert figures["fallback_share", "all"].value == 1 / 4
    assert figures["fallback_share", "fallback=unknown_user"].value == 1 / 4
    assert figures["fallback_share", "history_length=0"].value == 1


def test_spread_and_missing_scores_are_of_the_models_own_lists(make_shown, figures_of):
    shown = make_shown(
        *listed("r", [3.0, 1.0]),
        *listed("s", [2.0, math.nan]),
        *listed("t", [9.0, 1.0], **{c.FALLBACK: "unknown_user"}),
    )
    figures = figures_of(shown)
    assert figures["score_spread", "all"][2:4] == (3 - 1, 1)
    assert figures["score_missing_share", "all"].value == 1 / 4


def test_bands_are_within_a_list(make_shown):
    """Deviations of 3, 2, 1 are 1, 0, -1; a list without any difference has no bands."""
    shown = make_shown(
        *listed("r", [3.0, 2.0, 1.0]), *listed("s", [300.0, 100.0]), *listed("t", [1.0] * 2)
    )
    bands = score_bands(shown).select(c.RECOMMENDATION_ID, "band").rows()
    assert bands == [("r", "high"), ("r", "middle"), ("r", "low"), ("s", "high"), ("s", "low")]


def test_clicks_are_held_against_those_of_the_position(make_shown, figures_of):
    """The order is broken in one list of three; the clicks follow the places."""
    shown = make_shown(
        *listed("r", [2.0, 1.0], clicked=[1]),
        *listed("s", [1.0, 2.0], clicked=[1]),
        *listed("t", [2.0, 1.0], clicked=[1, 2]),
    )
    figures = figures_of(shown)
    first, second = 3 / 3, 1 / 3
    high, low = 2 / (first + second + first), 2 / (second + first + second)
    assert figures["ctr", "score=high"].value == 2 / 3
    assert figures["click_lift", "score=high"][2:4] == (pytest.approx(high), 3)
    assert figures["click_lift", "score=low"].value == pytest.approx(low)
    assert figures["score_gain", "all"].value == pytest.approx(high - low)


def test_scores_in_the_same_order_everywhere_tell_nothing_beyond_it(make_shown, figures_of):
    shown = make_shown(*listed("r", [2.0, 1.0], [1]), *listed("s", [2.0, 1.0], [1]))
    figures = figures_of(shown)
    assert figures["ctr", "score=high"].value == 1
    assert figures["click_lift", "score=high"][2:4] == (None, 0)
    assert figures["score_gain", "all"][2:4] == (None, 0)


def test_sources_and_variety(make_shown, figures_of):
    shown = make_shown(
        {c.RECOMMENDATION_ID: "r", c.PRODUCT_ID: "a"},
        {c.RECOMMENDATION_ID: "r", c.PRODUCT_ID: "p", c.POSITION: 2, c.SOURCE: "new"},
        {c.RECOMMENDATION_ID: "s", c.PRODUCT_ID: "a"},
        {c.RECOMMENDATION_ID: "s", c.PRODUCT_ID: "b", c.POSITION: 2},
        {c.RECOMMENDATION_ID: "t", c.PRODUCT_ID: "unheard of"},
    )
    figures = figures_of(shown)
    assert figures["source_share", "source=new"].value == 1 / 5
    assert figures["coverage", "all"].value == 3 / 4
    assert figures["diversity", "all"].value == (1 + 0) / 2
    of_lists = [(math.log2(16 / 8) + math.log2(16 / 1)) / 2, (1 + math.log2(16 / 2)) / 2]
    assert figures["novelty", "all"][2:4] == (pytest.approx(sum(of_lists) / 2), 2)
    x = [0, 1, 1, 2]
    assert figures["gini", "all"].value == sum((2 * i - 5) * x[i - 1] for i in (1, 2, 3, 4)) / (
        4 * 4
    )


def test_no_answers_have_no_figure(make_shown, figures_of):
    assert all(figure.value is None for figure in figures_of(make_shown()).values())


def test_only_the_first_ten_places_are_varied(make_shown, figures_of):
    shown = make_shown(
        *(
            {c.RECOMMENDATION_ID: "r", c.POSITION: place, c.PRODUCT_ID: "a"}
            for place in range(1, 11)
        ),
        {c.RECOMMENDATION_ID: "r", c.POSITION: 11, c.PRODUCT_ID: "b"},
    )
    assert figures_of(shown)["coverage", "all"].value == 1 / 4
