"""Slates of a shop of ten products in three categories; p0 is the best by every measure."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.ranking.exploration import ExplorationOptions, rng_of
from recsys_kedro.ranking.reasons import Dealings
from recsys_kedro.ranking.rules import CompiledRules, Rules
from recsys_kedro.serving.catalogue import Catalogue
from recsys_kedro.serving.histories import Asked
from recsys_kedro.serving.rankers import ALL_SOURCES, Ranked, _category_vectors
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.slates import NO_PAST, Past, Slate, SlateMaker, arrangement
from recsys_kedro.serving.snapshot import NO_HISTORY

IDS = [f"p{number}" for number in range(10)]
CATEGORIES = ["tea", "tea", "tea", "cup", "cup", "cup", "pot", "pot", None, None]
NOW = datetime(2024, 6, 1, tzinfo=UTC)


class Alike:
    """Stands for a ranker: products of a category are alike, nothing speaks for anything."""

    vectors = _category_vectors(CATEGORIES)

    def support(self, had, wanted):
        return None


def catalogue(in_stock=IDS):
    scores = [10.0 - row if id_ in in_stock else None for row, id_ in enumerate(IDS)]
    return Catalogue.of(
        pl.DataFrame(
            {
                c.PRODUCT_ID: IDS,
                c.NAME: IDS,
                c.CATEGORY: CATEGORIES,
                c.PRICE: [float(row) if row else None for row in range(10)],
                c.SCORE: scores,
            },
            schema_overrides={c.SCORE: pl.Float64, c.PRICE: pl.Float64},
        )
    )


def maker(in_stock=IDS, diversity=0.0, **rules):
    shop = catalogue(in_stock)
    compiled = CompiledRules.of(
        Rules(**rules), shop.ids, shop.categories, shop.in_stock, shop.price
    )
    return SlateMaker(shop, Alike(), compiled, diversity)


def ranked(*rows, source="neighbours"):
    rows = list(range(10)) if not rows else list(rows)
    score = np.linspace(2.0, 1.0, len(rows), dtype=np.float32)
    return Ranked(np.array(rows), score, np.full(len(rows), ALL_SOURCES.index(source), np.int8))


def had(*rows):
    product = np.array(rows, np.int64)
    kinds, age = np.full(len(rows), 3), np.ones(len(rows), np.float32)
    return Past(Dealings.of(product, kinds, age), product)


def slate(maker, ranking, past=NO_PAST, **request):
    request = RecommendationRequest.model_validate({"user_id": "u", "k": 3} | request)
    return maker.slate(Asked(request, NOW, NO_HISTORY, {}), ranking, past, "unknown_user")


def shown(slate, k=3, share=0.0, id_="x"):
    options = ExplorationOptions(share=share)
    return [IDS[each.product] for each in arrangement(slate, k, options, rng_of(id_))]


def test_the_ranking_is_the_list_and_the_next_best_the_reserve():
    made = slate(maker(), ranked())
    assert shown(made) == ["p0", "p1", "p2"]
    assert [IDS[row] for row in made.product] == IDS
    assert (made.fallback, made.removed) == (None, {})


def test_without_a_ranking_popular_products_of_many_categories():
    made = slate(maker(), None, k=5)
    assert shown(made, 5) == ["p0", "p1", "p3", "p4", "p6"]
    assert made.fallback == "unknown_user"
    assert set(made.source) == {"popular"}


@pytest.mark.parametrize(
    ("request_", "expected", "removed"),
    [
        ({"exclude": ["p0", "nonsense"]}, ["p1", "p2", "p3"], {"excluded": 1}),
        ({"context": {"product_id": "p1"}}, ["p0", "p2", "p3"], {"excluded": 1}),
        (
            {"onboarding": [{"question": "q", "liked": ["p2"]}]},
            ["p0", "p1", "p3"],
            {"excluded": 1},
        ),
        ({"category": "cup"}, ["p3", "p4", "p5"], {"other_category": 7}),
        ({"price": {"low": 2, "high": 4}}, ["p2", "p3", "p4"], {"price": 7}),
        ({"filter_purchased": True}, ["p1", "p2", "p3"], {"purchased": 1}),
        ({"filter_purchased": False}, ["p0", "p1", "p2"], {}),
    ],
)
def test_each_rule_takes_out_and_says_how_many(request_, expected, removed):
    made = (
        slate(maker(), ranked(), had(0), **request_)
        if "filter_purchased" in request_
        else (slate(maker(), ranked(), **request_))
    )
    assert shown(made) == expected
    assert made.removed == removed


def test_what_cannot_be_sold_is_never_shown():
    made = slate(maker(in_stock=IDS[5:]), ranked(), k=9)
    assert shown(made, 9) == IDS[5:]
    assert made.removed == {"not_in_stock": 5}


def test_nothing_to_sell_is_said():
    made = slate(maker(in_stock=[]), ranked())
    assert shown(made) == []
    assert made.fallback == "nothing_to_sell"


def test_a_short_ranking_is_filled_with_popular_products():
    made = slate(maker(), ranked(7), k=3)
    assert shown(made) == ["p7", "p0", "p1"]
    assert made.source[:2] == ["neighbours", "popular"]
    assert made.score == sorted(made.score, reverse=True)
    assert made.fallback is None


def test_who_has_all_that_is_ranked_gets_popular_products():
    made = slate(maker(), ranked(3, 4), had(3, 4))
    assert shown(made) == ["p0", "p1", "p6"]
    assert made.fallback == "nothing_left"


def test_who_has_everything_gets_what_can_be_bought_again():
    made = slate(maker(), ranked(), had(*range(10)))
    assert shown(made) == ["p0", "p1", "p3"]
    assert made.fallback == "nothing_left"


def test_rules_of_the_shop():
    made = slate(maker(pinned={"p9": 2}, most_per_category=1, deny_products=["p0"]), ranked(), k=4)
    assert shown(made, 4) == ["p1", "p9", "p3", "p6"]
    assert made.removed == {"denied": 1, "category_cap": 4}  # the reserves are capped too
    pinned = arrangement(made, 4, ExplorationOptions(), rng_of("x"))[1]
    assert (pinned.source, pinned.propensity) == ("pinned", 1.0)


def test_boosted_products_move_up():
    made = slate(maker(boosted_products={"p9": 9.0}), ranked())
    assert shown(made) == ["p9", "p0", "p1"]


def test_diversity_of_the_shop_or_of_the_request():
    assert shown(slate(maker(), ranked(), diversity=0.9)) == ["p0", "p3", "p6"]
    assert shown(slate(maker(diversity=0.9), ranked())) == ["p0", "p3", "p6"]
    assert shown(slate(maker(diversity=0.9), ranked(), diversity=0)) == ["p0", "p1", "p2"]


def test_exploration_draws_reserves_and_says_how_probable_that_was():
    made = slate(maker(), ranked())
    lists = {tuple(shown(made, share=0.5, id_=str(number))) for number in range(50)}
    assert len(lists) > 10
    assert {id_ for list_ in lists for id_ in list_} == set(IDS)
    first = arrangement(made, 3, ExplorationOptions(share=0.5), rng_of("7"))
    again = arrangement(made, 3, ExplorationOptions(share=0.5), rng_of("7"))
    assert first == again
    assert all(0 < each.propensity < 1 for each in first)


def test_new_and_unfamiliar_products_are_drawn_more_eagerly():
    made = slate(maker(), ranked(), had(3), filter_purchased=False)
    weight = dict(zip((IDS[row] for row in made.product), made.weight, strict=True))
    assert (weight["p4"], weight["p0"]) == (1.0, 2.0)
    fresh = slate(maker(), ranked(4, 5, source="new"), had(3))
    assert fresh.weight[:2] == [2.0, 2.0]


def test_slates_survive_the_cache():
    made = slate(maker(pinned={"p9": 2}), ranked(), had(1))
    assert Slate.from_bytes(made.to_bytes()) == made
    for garbage in (b"", b"\x00\xff", b"[]", b'{"product": 1}', b"null"):
        with pytest.raises((TypeError, ValueError)):
            Slate.from_bytes(garbage)
