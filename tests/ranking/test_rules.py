import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys_kedro.ranking.rules import (
    CATEGORY_CAP,
    DENIED,
    EXCLUDED,
    NOT_ALLOWED,
    NOT_IN_STOCK,
    OTHER_CATEGORY,
    PRICE,
    PURCHASED,
    REMOVALS,
    CompiledRules,
    Limits,
    Pins,
    Rules,
    pin,
)

IDS = ["a", "b", "c", "d", "e", "f"]
CATEGORIES = ["lamps", "lamps", "lamps", "chairs", "chairs", None]
PRICES = [10.0, 20.0, 30.0, 40.0, np.nan, 5.0]
ALL = np.arange(6)
NO_PINS = Pins(np.empty(0, np.int64), np.empty(0, np.int64))


def compiled(rules=None, sold_out="", **given):
    in_stock_P = np.array([id_ not in sold_out for id_ in IDS])
    return CompiledRules.of(rules or Rules(**given), IDS, CATEGORIES, in_stock_P, np.array(PRICES))


def rows(ids):
    return np.array([IDS.index(id_) for id_ in ids], np.int64)


def ids(product_N):
    return "".join(IDS[row] for row in product_N)


def removed(limits=None, sold_out="", **given):
    """Which of all products are kept, and the counts."""
    keep_N, counts = compiled(sold_out=sold_out, **given).removed(ALL, limits or Limits())
    return ids(ALL[keep_N]), counts


def test_without_rules_all_is_kept():
    assert removed() == ("abcdef", {})


@pytest.mark.parametrize(
    ("given", "kept", "rule"),
    [
        ({"sold_out": "be"}, "acdf", NOT_IN_STOCK),
        ({"limits": Limits(purchased=rows("ab"))}, "cdef", PURCHASED),
        ({"limits": Limits(excluded=np.array([0, -1]))}, "bcdef", EXCLUDED),
        ({"deny_products": ["c"]}, "abdef", DENIED),
        ({"deny_categories": ["lamps"]}, "def", DENIED),
        ({"deny_categories": ["lamps"], "deny_products": ["a", "d"]}, "ef", DENIED),
        ({"allow_products": ["b", "f"]}, "bf", NOT_ALLOWED),
        ({"allow_categories": ["chairs"]}, "de", NOT_ALLOWED),
        ({"allow_categories": ["chairs"], "allow_products": ["a", "d"]}, "d", NOT_ALLOWED),
        ({"limits": Limits(category="chairs")}, "de", OTHER_CATEGORY),
        ({"limits": Limits(category="sofas")}, "", OTHER_CATEGORY),
        ({"limits": Limits(price_low=20)}, "bcd", PRICE),
        ({"limits": Limits(price_high=20)}, "abf", PRICE),
        ({"limits": Limits(price_low=10, price_high=30)}, "abc", PRICE),
        ({"limits": Limits(price_low=0)}, "abcdf", PRICE),  # the price of e is not known
    ],
)
def test_a_rule_removes_and_is_counted(given, kept, rule):
    assert removed(**given) == (kept, {rule: 6 - len(kept)})


def test_the_first_rule_has_the_blame():
    """Every rule speaks against a; taken away one by one, the next has the blame."""
    against = {
        NOT_IN_STOCK: {"sold_out": "a"},
        PURCHASED: {"purchased": rows("a")},
        EXCLUDED: {"excluded": rows("a")},
        DENIED: {"deny_products": ["a"]},
        NOT_ALLOWED: {"allow_products": ["f"]},
        OTHER_CATEGORY: {"category": "chairs"},
        PRICE: {"price_low": 11},
    }
    assert tuple(against) == REMOVALS
    of_request = {"purchased", "excluded", "category", "price_low"}
    for first, rule in enumerate(REMOVALS):
        given = {k: v for later in REMOVALS[first:] for k, v in against[later].items()}
        limits = Limits(**{k: v for k, v in given.items() if k in of_request})
        rules = compiled(**{k: v for k, v in given.items() if k not in of_request})
        assert rules.removed(rows("a"), limits).counts == {rule: 1}


ANY_IDS = st.lists(st.sampled_from(IDS), max_size=3)
CATEGORY = st.sampled_from(["lamps", "chairs"])


@given(
    sold_out=ANY_IDS,
    deny_products=ANY_IDS,
    deny_categories=st.lists(CATEGORY, max_size=1),
    allow_products=st.none() | st.lists(st.sampled_from(IDS), min_size=1),
    allow_categories=st.none() | st.lists(CATEGORY, min_size=1),
    purchased=st.none() | ANY_IDS.map(rows),
    excluded=st.none() | ANY_IDS.map(rows),
    category=st.none() | CATEGORY | st.just("sofas"),
    low=st.none() | st.integers(0, 50),
    high=st.none() | st.integers(0, 50),
    candidates=st.permutations(IDS).map(rows),
    count=st.integers(0, 6),
)
def test_counts_sum_to_what_was_removed(
    sold_out, purchased, excluded, category, low, high, candidates, count, **given
):
    product_N = candidates[:count]
    limits = Limits(purchased, excluded, category, low, high)
    keep_N, counts = compiled(sold_out=sold_out, **given).removed(product_N, limits)
    assert keep_N.sum() + sum(counts.values()) == count
    assert all(counts.values())
    assert set(counts) <= set(REMOVALS)
    for row in product_N[keep_N]:
        assert IDS[row] not in sold_out
        assert IDS[row] not in given["deny_products"]


def test_boosts_are_standard_deviations_of_the_list():
    rules = compiled(boosted_products={"a": 0.5, "f": -2}, boosted_categories={"lamps": 1})
    score_N = np.array([1.0, 3.0, 5.0], np.float32)
    deviation = np.sqrt((4 + 0 + 4) / 3)
    boosted = rules.boosted(score_N, rows("aef"))
    assert boosted.tolist() == pytest.approx([1 + 1.5 * deviation, 3, 5 - 2 * deviation])
    assert rules.boosted(100 * score_N, rows("aef")).tolist() == pytest.approx(100 * boosted)


def test_boosts_where_all_scores_are_equal():
    rules = compiled(boosted_products={"a": 0.5})
    assert rules.boosted(np.full(3, 0.1), rows("abc")).tolist() == pytest.approx([0.6, 0.1, 0.1])
    assert rules.boosted(np.array([]), rows("")).tolist() == []


def capped(order, k, pins=NO_PINS, **given):
    keep_M, counts = compiled(**given).capped(rows(order), k, pins)
    return ids(rows(order)[keep_M]), counts


@pytest.mark.parametrize(
    ("given", "k", "kept", "over"),
    [
        ({}, 9, "abcdef", 0),
        ({}, 2, "ab", 0),
        ({}, 0, "", 0),
        ({"most_per_category": 1}, 9, "adf", 3),
        ({"most_per_category": 2}, 3, "abd", 1),  # e is not gone past, the list is full
        ({"most_per_category": 1}, 0, "", 0),
        ({"most_per_category": 1}, 1, "a", 0),
        ({"category_caps": {"lamps": 1}}, 9, "adef", 2),
        ({"most_per_category": 1, "category_caps": {"lamps": 2}}, 9, "abdf", 2),
        ({"category_caps": {"sofas": 1}}, 9, "abcdef", 0),
    ],
)
def test_caps(given, k, kept, over):
    assert capped("abcdef", k, **given) == (kept, {CATEGORY_CAP: over} if over else {})


def test_products_without_a_category_are_not_capped():
    in_stock_P, price_P = np.ones(3, bool), np.ones(3)
    rules = CompiledRules.of(Rules(most_per_category=1), IDS[:3], [None] * 3, in_stock_P, price_P)
    assert rules.capped(np.arange(3), 9, NO_PINS).keep.all()


def test_a_pinned_product_counts_for_its_category():
    one_lamp = Pins(rows("c"), np.array([4]))
    assert capped("abdef", 9, one_lamp, most_per_category=2) == ("adef", {CATEGORY_CAP: 1})
    two_lamps = Pins(rows("bc"), np.array([0, 4]))
    assert capped("ad", 9, two_lamps, most_per_category=1) == ("d", {CATEGORY_CAP: 1})


@given(
    order=st.permutations(IDS),
    cut=st.integers(1, 6),
    k=st.integers(1, 7),
    most=st.integers(1, 3),
)
def test_caps_hold_and_never_empty_a_list(order, cut, k, most):
    kept, counts = capped(order[:cut], k, most_per_category=most)
    by_category = [CATEGORIES[IDS.index(id_)] for id_ in kept]
    assert max(by_category.count(name) for name in ("lamps", "chairs")) <= most
    assert 1 <= len(kept) <= k
    assert kept == "".join(id_ for id_ in order[:cut] if id_ in kept), "in ranked order"
    if len(kept) < k:
        assert len(kept) + counts.get(CATEGORY_CAP, 0) == cut


def test_pins_are_the_pinned_that_may_be_shown():
    rules = compiled(
        pinned={"d": 2, "c": 1, "b": 3, "a": 4, "f": 6, "gone": 5},
        sold_out="b",
        deny_products=["c"],
    )
    every = rules.pins(Limits(), 9)
    assert (ids(every.product), every.place.tolist()) == ("daf", [1, 3, 5])
    assert ids(rules.pins(Limits(purchased=rows("d")), 9).product) == "af"
    assert ids(rules.pins(Limits(category="chairs"), 9).product) == "d"
    assert ids(rules.pins(Limits(), 5).product) == "da", "the sixth place is beyond the list"
    assert len(compiled().pins(Limits(), 9).product) == 0


@pytest.mark.parametrize(
    ("order", "k", "pinned", "shown", "position"),
    [
        ("abc", 3, {}, "abc", [0, 1, 2]),
        ("abc", 2, {}, "ab", [0, 1]),
        ("abc", 3, {"f": 1}, "fab", [-1, 0, 1]),
        ("abc", 9, {"f": 2, "e": 4}, "afbec", [0, -1, 1, -1, 2]),
        ("abc", 3, {"c": 1}, "cab", [-1, 0, 1]),
        ("abc", 3, {"a": 3}, "bca", [1, 2, -1]),
        ("a", 9, {"f": 5, "e": 7}, "afe", [0, -1, -1]),
        ("", 3, {"f": 2}, "f", [-1]),
        ("abc", 2, {"e": 1, "f": 2}, "ef", [-1, -1]),
        ("abc", 0, {"f": 1}, "", []),
    ],
)
def test_pins_have_their_places(order, k, pinned, shown, position):
    pins = compiled(pinned=pinned).pins(Limits(), k)
    placed = pin(rows(order), k, pins)
    assert (ids(placed.product), placed.position.tolist()) == (shown, position)


@given(
    order=st.permutations(IDS),
    cut=st.integers(0, 6),
    k=st.integers(0, 8),
    by_place=st.dictionaries(st.integers(1, 9), st.sampled_from(IDS), max_size=4),
)
def test_a_list_with_pins_is_as_long_as_there_are_products(order, cut, k, by_place):
    pins = compiled(pinned={id_: place for place, id_ in by_place.items()}).pins(Limits(), k)
    order_M = rows(order[:cut])
    product, position = pin(order_M, k, pins)
    assert product.dtype == position.dtype == np.int64
    assert len(set(product.tolist())) == len(product)
    assert len(product) == min(k, len({*order_M, *pins.product}))
    assert set(product[position < 0]) == set(pins.product)
    assert product[position >= 0].tolist() == order_M[position[position >= 0]].tolist()
    for row, place in zip(*pins, strict=True):
        at = product.tolist().index(row)
        assert at == place or (at < place and (position[at:] == -1).all()), "or at the end"


def test_what_the_catalogue_lacks_is_said_and_has_no_effect():
    rules = compiled(
        deny_products=["a", "x", "w"],
        deny_categories=["sofas"],
        allow_categories=["lamps", "rugs"],
        category_caps={"beds": 2},
        pinned={"y": 1},
        boosted_products={"z": 1},
        most_per_category=2,
    )
    assert rules.unknown == {
        "deny_products": ("w", "x"),
        "deny_categories": ("sofas",),
        "allow_categories": ("rugs",),
        "category_caps": ("beds",),
        "pinned": ("y",),
        "boosted_products": ("z",),
    }
    assert ids(ALL[rules.removed(ALL, Limits()).keep]) == "bc"
    assert compiled(deny_products=["a"]).unknown == {}


CONTENT = {"deny_products": ["1", "é😀"], "pinned": {"7": 2}, "boosted_categories": {"lamps": 0.5}}


def test_rules_are_read_from_yaml_and_json(tmp_path):
    as_yaml, as_json = tmp_path / "rules.yml", tmp_path / "rules.json"
    as_yaml.write_text(
        "deny_products: ['1', é😀]\npinned: {'7': 2}\nboosted_categories: {lamps: 0.5}\n", "utf-8"
    )
    as_json.write_text(json.dumps(CONTENT, indent="\t"))
    assert Rules.read(as_yaml) == Rules.read(as_json) == Rules(**CONTENT)
    as_yaml.write_text("# none yet\n")
    assert Rules.read(as_yaml) == Rules()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deny: [a]", "deny: there is no such rule; there are deny_products, deny_categories"),
        ("deny_products: [22423]", r"deny_products\.0: ids and names are text: put it in quotes"),
        ("pinned: {22423: 1}", "pinned.22423.*: ids and names are text: put it in quotes"),
        ("pinned: {a: 0}", r"pinned\.a: .*greater than or equal to 1"),
        ("pinned: {a: 2, b: 2}", r"pinned: .*more than one product is pinned to the places \[2\]"),
        ("most_per_category: 0", "most_per_category: .*greater than or equal to 1"),
        ("category_caps: {lamps: 0}", r"category_caps\.lamps: .*greater than or equal to 1"),
        ("boosted_products: {a: .inf}", r"boosted_products\.a: .*finite"),
        ("allow_products: []", "allow_products: .*at least 1"),
        ("{deny: [a], most_per_category: 0}", "most_per_category: .*; deny: there is no such"),
        ("- a", "the whole file: .*dictionary"),
        ("deny_products: [a", "neither YAML nor JSON"),
        (b"deny_products: [\xff]", "neither YAML nor JSON"),
    ],
)
def test_a_bad_file_is_named_with_the_rule(tmp_path, text, told):
    path = tmp_path / "rules.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"rules\.yml: {told}"):
        Rules.read(path)


def test_a_bad_json_file_is_named(tmp_path):
    path = tmp_path / "rules.json"
    path.write_text('{"deny_products": ["a"')
    with pytest.raises(ValueError, match=r"rules\.json: neither YAML nor JSON"):
        Rules.read(path)


def test_rules_are_frozen():
    with pytest.raises(ValidationError):
        Rules().most_per_category = 3
