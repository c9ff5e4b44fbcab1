"""Business rules: what may be shown, where and how much of it, with an audit of what they did.

A file of rules is compiled once against the catalogue; a request only looks up rows. P products
of the catalogue, C categories, N candidates, M ranked products, k places. Products are rows of
the catalogue.

In the order of a request: what is :meth:`~CompiledRules.removed`, scores of the rest
:meth:`~CompiledRules.boosted`, the :meth:`~CompiledRules.pins` out of the ranking,
:meth:`~CompiledRules.capped` by category, exploration, and last :func:`pin`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Self, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from recsys_kedro.options import Options
from recsys_kedro.ranking.diversity import deviation

T = TypeVar("T", bound=np.generic)
Floats = NDArray[np.floating]
Rows = NDArray[np.int64]

# Why a candidate is out. One that several rules take out is counted under the first of them.
NOT_IN_STOCK: Final = "not_in_stock"
PURCHASED: Final = "purchased"
EXCLUDED: Final = "excluded"
DENIED: Final = "denied"
NOT_ALLOWED: Final = "not_allowed"
OTHER_CATEGORY: Final = "other_category"
PRICE: Final = "price"
REMOVALS: Final = (
    NOT_IN_STOCK, PURCHASED, EXCLUDED, DENIED, NOT_ALLOWED, OTHER_CATEGORY, PRICE
)  # fmt: skip
CATEGORY_CAP: Final = "category_cap"
KEPT = len(REMOVALS)
NO_SUCH_CATEGORY = -1

Boost = Annotated[float, Field(allow_inf_nan=False)]


class Rules(Options):
    """A shop's rules. Ids and names are the shop's own; a product without a category has none.

    A product must be on both lists of what is allowed, where there are both. Denied wins over
    allowed, and both win over pinned. A cap is 1 or more, so that caps never empty a list; what
    must not be shown at all is denied.
    """

    deny_products: frozenset[str] = Field(frozenset(), description="never shown")
    deny_categories: frozenset[str] = Field(frozenset(), description="never shown")
    allow_products: frozenset[str] | None = Field(
        None, min_length=1, description="only these are shown; not set: all"
    )
    allow_categories: frozenset[str] | None = Field(
        None, min_length=1, description="only products of these are shown; not set: all"
    )
    most_per_category: int | None = Field(
        None, ge=1, description="products of one category in a list; not set: any number"
    )
    category_caps: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="the same by category, in place of most_per_category"
    )
    pinned: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="place in the list by product, from 1, whether or not it is proposed"
    )
    boosted_products: dict[str, Boost] = Field(
        {}, description="added to the score, in standard deviations of the list; may be negative"
    )
    boosted_categories: dict[str, Boost] = Field(
        {}, description="the same for all products of a category; both add up"
    )

    @field_validator("pinned")
    @classmethod
    def _one_product_per_place(cls, pinned: dict[str, int]) -> dict[str, int]:
        places = list(pinned.values())
        twice = sorted({place for place in places if places.count(place) > 1})
        if twice:
            msg = f"more than one product is pinned to the places {twice}"
            raise ValueError(msg)
        return pinned

    @classmethod
    def read(cls, path: Path) -> Self:
        """The rules of a YAML or JSON file; an empty file has none.

        Raises:
            OSError: there is no such file.
            ValueError: it is neither YAML nor JSON, or a rule is wrong; all that is wrong is named.
        """
        text = path.read_bytes()
        try:
            content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            msg = f"{path}: neither YAML nor JSON (by its ending): {error}"
            raise ValueError(msg) from error
        try:
            return cls.model_validate({} if content is None else content)
        except ValidationError as error:
            msg = f"{path}: {'; '.join(_problems(error))}"
            raise ValueError(msg) from error


def _problems(error: ValidationError) -> Iterable[str]:
    hints = {
        "extra_forbidden": f"there is no such rule; there are {', '.join(Rules.model_fields)}",
        "string_type": "ids and names are text: put it in quotes",
    }
    for problem in error.errors(include_url=False):
        where = ".".join(str(step) for step in problem["loc"]) or "the whole file"
        yield f"{where}: {hints.get(problem['type'], problem['msg'])}"


@dataclass(frozen=True)
class Limits:
    """What one request allows.

    Attributes:
        purchased, excluded: products that must not be shown again, or at all; -1 is none.
        category: only products of this category; one that the catalogue lacks has none.
        price_low, price_high: ends included; a product without a price (NaN) is out when
            either is set.
    """

    purchased: Rows | None = None
    excluded: Rows | None = None
    category: str | None = None
    price_low: float | None = None
    price_high: float | None = None


class Removal(NamedTuple):
    """Which of N products stay, and how many each rule took out (those that took none lack).

    Attributes:
        keep: (N,) bool.
        counts: by rule; one that several rules take out is counted once, under the first.
    """

    keep: NDArray[np.bool_]
    counts: dict[str, int]


class Pins(NamedTuple):
    """Products with a place of their own: (n,) rows and (n,) places from 0, rising."""

    product: Rows
    place: Rows


class Placed(NamedTuple):
    """A list with its pins: (K,) rows, and (K,) the position that each had before, -1: a pin."""

    product: Rows
    position: Rows


@dataclass(frozen=True)
class CompiledRules:
    """Rules as arrays over the catalogue.

    Attributes:
        first_blame: (P,) the first entry of :data:`REMOVALS` that holds for every request.
        category: (P,) code; C where it has none.
        price: (P,) NaN where it has none.
        boost: (P,) in standard deviations of the list's scores.
        cap: (C + 1,) most products of the category in one list.
        pinned: the pinned products that the catalogue has.
        codes: code by name of the category.
        unknown: what a rule names and the catalogue lacks, by rule; such names have no effect.
    """

    first_blame: NDArray[np.int8]
    category: Rows
    price: NDArray[np.float64]
    boost: NDArray[np.float64]
    cap: Rows
    pinned: Pins
    codes: Mapping[str, int]
    unknown: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        rules: Rules,
        product_ids: Sequence[str],
        categories: Sequence[str | None],
        in_stock_P: NDArray[np.bool_],
        price_P: Floats,
    ) -> Self:
        """Look up the ids of the rules in a catalogue.

        Args:
            rules: what the shop wants.
            product_ids: P ids; row p of all else is product p.
            categories: P names.
            in_stock_P: whether it can be sold.
            price_P: in the shop's currency, NaN where it has none.
        """
        rows = {id_: row for row, id_ in enumerate(product_ids)}
        names = sorted({name for name in categories if name is not None})
        codes = {name: code for code, name in enumerate(names)}
        none = len(codes)
        category_P = np.array(
            [none if name is None else codes[name] for name in categories], np.int64
        )
        cap_C = np.full(none + 1, rules.most_per_category or len(rows))
        cap_C[none] = len(rows)
        pins = sorted((place - 1, rows[id_]) for id_, place in rules.pinned.items() if id_ in rows)
        place, pinned = np.array(pins, np.int64).reshape(-1, 2).T
        return cls(
            first_blame=_first_blame(rules, rows, codes, category_P, in_stock_P),
            category=category_P,
            price=np.asarray(price_P, np.float64),
            boost=_with(np.zeros(len(rows)), rules.boosted_products, rows)
            + _with(np.zeros(none + 1), rules.boosted_categories, codes)[category_P],
            cap=_with(cap_C, rules.category_caps, codes),
            pinned=Pins(pinned, place),
            codes=codes,
            unknown=_unknown(rules, rows, codes),
        )

    def removed(self, product_N: Rows, request: Limits) -> Removal:
        """Which candidates may be shown to this request."""
        blame_N = self.first_blame[product_N]

        def blame(rule: str, out_N: NDArray[np.bool_]) -> None:
            np.minimum(blame_N, REMOVALS.index(rule), out=blame_N, where=out_N)

        if request.purchased is not None:
            blame(PURCHASED, np.isin(product_N, request.purchased))
        if request.excluded is not None:
            blame(EXCLUDED, np.isin(product_N, request.excluded))
        if request.category is not None:
            wanted = self.codes.get(request.category, NO_SUCH_CATEGORY)
            blame(OTHER_CATEGORY, self.category[product_N] != wanted)
        if request.price_low is not None:
            blame(PRICE, ~(self.price[product_N] >= request.price_low))
        if request.price_high is not None:
            blame(PRICE, ~(self.price[product_N] <= request.price_high))
        times = np.bincount(blame_N, minlength=KEPT)[:KEPT].tolist()
        counts = {rule: count for rule, count in zip(REMOVALS, times, strict=True) if count}
        return Removal(blame_N == KEPT, counts)

    def boosted(self, score_N: Floats, product_N: Rows) -> NDArray[np.float64]:
        """The scores with what the shop adds.

        Scores compare within one list only, so a boost of 1 is one standard deviation of these
        scores, whatever their scale; where all are equal it is 1.
        """
        return score_N + (deviation(score_N) or 1.0) * self.boost[product_N]

    def pins(self, request: Limits, k: int) -> Pins:
        """The pinned products that may be shown to this request, with a place among the first k.

        Leave them out of the ranking, so that exploration, whose propensities speak of what is
        shown, does not draw them.
        """
        product, place = self.pinned
        keep = self.removed(product, request).keep & (place < k)
        return Pins(product[keep], place[keep])

    def capped(self, order_M: Rows, k: int, pins: Pins) -> Removal:
        """The first k of a ranked list, going past those whose category is full.

        A pinned product counts for its category, and is shown in any case. Products without a
        category are not capped. There may be fewer than k, but never nothing at all, a pin or
        the first of the list. Any part of what is kept is within the caps, in any order: to
        diversify or explore later, keep more.

        Args:
            order_M: in ranked order, without the pinned products.
            k: how many to keep.
            pins: what is shown beside them.

        Returns:
            What is kept and, under ``category_cap``, how many were gone past on the way to k.
        """
        left_C = self.cap - np.bincount(self.category[pins.product], minlength=len(self.cap))
        category_M = self.category[order_M]
        within_M = _earlier(category_M) < left_C[category_M]
        kept_M = within_M.cumsum()
        passed = int(np.count_nonzero(~within_M & (kept_M < k)))
        return Removal(within_M & (kept_M <= k), {CATEGORY_CAP: passed} if passed else {})


def pin(order_M: Rows, k: int, pins: Pins) -> Placed:
    """The first k of a list with the pins at their places, or at the end of a shorter list.

    Others move down. A pin that is in the list is taken from where it was.
    """
    position = np.flatnonzero(~np.isin(order_M, pins.product))[:k].tolist()
    product = order_M[position].tolist()
    for row, place in zip(pins.product.tolist(), pins.place.tolist(), strict=True):
        product.insert(place, row)
        position.insert(place, -1)
    return Placed(np.array(product[:k], np.int64), np.array(position[:k], np.int64))


def _first_blame(
    rules: Rules,
    rows: Mapping[str, int],
    codes: Mapping[str, int],
    category_P: Rows,
    in_stock_P: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """(P,) the first rule that takes a product out of every list; what is written last is it."""

    def of_products(ids: Iterable[str]) -> NDArray[np.bool_]:
        return _with(np.zeros(len(rows), np.bool_), dict.fromkeys(ids, True), rows)

    def of_categories(names: Iterable[str]) -> NDArray[np.bool_]:
        named_C = _with(np.zeros(len(codes) + 1, np.bool_), dict.fromkeys(names, True), codes)
        return named_C[category_P]

    blame_P = np.full(len(rows), KEPT, np.int8)
    if rules.allow_products is not None:
        blame_P[~of_products(rules.allow_products)] = REMOVALS.index(NOT_ALLOWED)
    if rules.allow_categories is not None:
        blame_P[~of_categories(rules.allow_categories)] = REMOVALS.index(NOT_ALLOWED)
    denied_P = of_products(rules.deny_products) | of_categories(rules.deny_categories)
    blame_P[denied_P] = REMOVALS.index(DENIED)
    blame_P[~in_stock_P] = REMOVALS.index(NOT_IN_STOCK)
    return blame_P


def _with(array: NDArray[T], values: Mapping[str, float], index: Mapping[str, int]) -> NDArray[T]:
    """The array with those of the values written to it whose name the index has."""
    for name in values.keys() & index.keys():
        array[index[name]] = values[name]
    return array


def _unknown(
    rules: Rules, rows: Mapping[str, int], codes: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    named = rules.model_dump(exclude={"most_per_category"}, exclude_none=True)
    unknown = {
        rule: tuple(sorted(set(names) - (codes if "categor" in rule else rows).keys()))
        for rule, names in named.items()
    }
    return {rule: names for rule, names in unknown.items() if names}


def _earlier(code_M: Rows) -> Rows:
    """(M,) how many before it have the same code."""
    by_code = np.argsort(code_M, kind="stable")
    in_turn_M = code_M[by_code]
    earlier_M = np.empty(len(code_M), np.int64)
    earlier_M[by_code] = np.arange(len(code_M)) - np.searchsorted(in_turn_M, in_turn_M)
    return earlier_M
