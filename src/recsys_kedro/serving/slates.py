"""A slate: the list of one request, with its reserves, before exploration. It can be cached.

From what a model ranked: business rules, boosts, diversity, pins, reserves for exploration, and
reasons. M products of a slate: the list, then the reserves.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from recsys_kedro.models.base import Recommender
from recsys_kedro.queries import Queries, by_event_type
from recsys_kedro.ranking.candidates import NEW
from recsys_kedro.ranking.cold_start import POPULAR
from recsys_kedro.ranking.diversity import POOL, diversify
from recsys_kedro.ranking.exploration import ExplorationOptions, explore
from recsys_kedro.ranking.reasons import NEWEST_READ, Dealings, reasons
from recsys_kedro.ranking.rules import CompiledRules, Limits, Pins, Rules, pin
from recsys_kedro.serving.catalogue import Catalogue
from recsys_kedro.serving.histories import Asked
from recsys_kedro.serving.rankers import ALL_SOURCES, Ranked, Ranker, ranker_of
from recsys_kedro.serving.requests import RecommendationRequest

LOGGER = logging.getLogger(__name__)

Indices = NDArray[np.int64]
NOTHING_LEFT = "nothing_left"
NOTHING_TO_SELL = "nothing_to_sell"
SPARE = 1_000  # products beyond the list that caps and diversity choose from
RESERVES = 20  # products behind the list that exploration may draw
PINNED = "pinned"
SURPRISING = 2.0  # weight of a new product, or one of a category new to the user, in that draw


@dataclass(frozen=True)
class Slate:
    """M products in order; the first ``k`` are the list, the others reserves.

    Attributes:
        product: (M,) rows of the catalogue.
        score: (M,) comparable within this slate only.
        pinned, place: products that the shop pinned, and their places in the list, from 0.
        source: (M,) what proposed each.
        reason: (M,) why, in words.
        weight: (M,) how eagerly exploration draws each.
        removed: how many candidates each rule took out.
        as_of: the time that the slate is for, ISO 8601.
        fallback: what answered instead of the model, or None.
        degraded: why less was known of the user than is stored, or None.
        history_length: past events that the slate was made from.
    """

    product: list[int]
    score: list[float]
    source: list[str]
    reason: list[str]
    weight: list[float]
    pinned: list[int]
    place: list[int]
    removed: Mapping[str, int]
    as_of: str
    fallback: str | None = None
    degraded: str | None = None
    history_length: int = 0

    def to_bytes(self) -> bytes:
        """As JSON."""
        return orjson.dumps(vars(self))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """What :meth:`to_bytes` made.

        Raises:
            ValueError, TypeError: if it is something else.
        """
        return cls(**orjson.loads(raw))


@dataclass(frozen=True)
class Past:
    """What the history of one request says, in rows of the catalogue.

    ``taken``: rows that must not come again if the request filters them.
    """

    dealings: Dealings
    taken: Indices

    @classmethod
    def of(cls, queries: Queries, query: int, ranker: Ranker) -> Self:
        """The past of one of the queries."""
        events = slice(queries.offsets[query], queries.offsets[query + 1])
        product = queries.products(ranker.catalogue.vocabulary)[events]
        kinds = queries.event_types[events]
        takes = by_event_type(dict.fromkeys(ranker.taken_types, 1.0))[kinds] > 0
        return cls(
            Dealings.of(product, kinds, queries.age_days[events]),
            np.unique(product[takes & (product >= 0)]),
        )


class Shown(NamedTuple):
    """One product of the final list."""

    product: int  # row of the catalogue
    score: float
    propensity: float
    source: str
    reason: str


def arrangement(
    slate: Slate, k: int, options: ExplorationOptions, rng: np.random.Generator
) -> list[Shown]:
    """The final list of at most ``k``: explored slot by slot, then the pinned in their places."""
    pins = Pins(np.array(slate.pinned, np.int64), np.array(slate.place, np.int64))
    free = k - int(np.count_nonzero(pins.place < k))
    weight = np.asarray(slate.weight)
    explored = explore(np.asarray(slate.score), weight, free, options, rng)
    order = np.asarray(slate.product, np.int64)[explored.position]
    pinned = pin(order, k, pins)
    shown = []
    for product, place in zip(pinned.product.tolist(), pinned.position.tolist(), strict=True):
        if place < 0:
            shown.append(Shown(product, 0.0, 1.0, PINNED, "Picked by the shop"))
        else:
            at, chance = int(explored.position[place]), float(explored.propensity[place])
            shown.append(
                Shown(product, slate.score[at], chance, slate.source[at], slate.reason[at])
            )
    return shown


NO_PAST = Past(
    Dealings.of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)),
    np.zeros(0, np.int64),
)


@dataclass(frozen=True)
class SlateMaker:
    """What slates are made with.

    Attributes:
        catalogue: the products.
        ranker: for similarities and vectors.
        rules: the shop's business rules.
        diversity: where the request does not say, see ``diversify``.
    """

    catalogue: Catalogue
    ranker: Ranker
    rules: CompiledRules
    diversity: float
    _popular: Ranked = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = self.catalogue.popular
        # The order is by category too, so a score that falls with it.
        score = np.linspace(1.0, 0.0, len(rows), endpoint=False, dtype=np.float32)
        source = np.full(len(rows), ALL_SOURCES.index(POPULAR), np.int8)
        object.__setattr__(self, "_popular", Ranked(rows, score, source))

    @classmethod
    def of(cls, model: Recommender, products: pl.DataFrame, rules: Rules, diversity: float) -> Self:
        """For a model, the products of its snapshot, and the shop's rules."""
        shop = Catalogue.of(products)
        compiled = CompiledRules.of(rules, shop.ids, shop.categories, shop.in_stock, shop.price)
        for rule, names in compiled.unknown.items():
            LOGGER.warning("rules: %s names what the catalogue lacks: %s", rule, ", ".join(names))
        return cls(shop, ranker_of(model, shop), compiled, diversity)

    def slate(self, asked: Asked, ranked: Ranked | None, past: Past, fallback: str) -> Slate:
        """The slate of one request.

        Args:
            asked: the request.
            ranked: what the model proposes; None: nothing, and ``fallback`` says why.
            past: what the user did.
            fallback: the name of the fallback where ``ranked`` is None.
        """
        filtering = asked.request.filter_purchased
        taken = past.taken if filtering else past.taken[:0]
        used, named = (ranked, None) if ranked is not None else (self._popular, fallback)
        slate = self._made(asked, used, past, taken, named)
        if slate.product or slate.pinned or not filtering:
            return slate
        # The user has everything: something that can be bought again beats nothing.
        return self._made(asked, self._popular, past, past.taken[:0], NOTHING_LEFT)

    def _made(
        self, asked: Asked, ranked: Ranked, past: Past, taken: Indices, fallback: str | None
    ) -> Slate:
        request = asked.request
        limits = self._limits(asked, taken)
        allowed, removed = self._allowed(ranked, limits)
        if len(allowed.product) == 0 and fallback is None:
            fallback = NOTHING_LEFT
        pins = self.rules.pins(limits, request.k)
        allowed = allowed.where(~np.isin(allowed.product, pins.product))
        wanted = request.k + RESERVES
        capping = bool((self.rules.cap < wanted).any())
        if capping or len(allowed.product) < wanted:
            more, _ = self._allowed(self._popular, limits)
            allowed = allowed.followed_by(more.head(wanted + SPARE))
        allowed = allowed.head(wanted + SPARE)
        order = self._ordered(request, allowed, wanted)
        capped = self.rules.capped(allowed.product[order], wanted, pins)
        order = order[capped.keep]
        product, score = allowed.product[order], allowed.score[order]
        sources = [ALL_SOURCES[code] for code in allowed.source[order].tolist()]
        return Slate(
            product=product.tolist(),
            score=score.tolist(),
            source=sources,
            reason=self._reasons(product, sources, past),
            weight=self._weights(product, sources, past).tolist(),
            pinned=pins.product.tolist(),
            place=pins.place.tolist(),
            removed={**removed, **capped.counts},
            as_of=asked.time.isoformat(),
            fallback=fallback if len(order) or len(pins.product) else NOTHING_TO_SELL,
            degraded=asked.degraded,
            history_length=asked.history.height,
        )

    def _limits(self, asked: Asked, taken: Indices) -> Limits:
        request = asked.request
        liked = [id_ for answer in request.onboarding for id_ in answer.liked]
        page = [] if request.context.product_id is None else [request.context.product_id]
        return Limits(
            purchased=taken,
            excluded=self.catalogue.rows_of([*request.exclude, *page, *liked]),
            category=request.category,
            price_low=request.price.low,
            price_high=request.price.high,
        )

    def _allowed(self, ranked: Ranked, limits: Limits) -> tuple[Ranked, dict[str, int]]:
        """What the rules leave, in its order, and how many each rule took out."""
        removal = self.rules.removed(ranked.product, limits)
        return ranked.where(removal.keep), removal.counts

    def _ordered(self, request: RecommendationRequest, ranked: Ranked, wanted: int) -> Indices:
        """(N,) positions in ``ranked``: boosted, then as diverse as is asked for."""
        score = self.rules.boosted(ranked.score, ranked.product)
        strength = self.diversity if request.diversity is None else request.diversity
        order = np.argsort(-score, kind="stable")
        if strength == 0:
            return order
        pool = order[: max(POOL, 2 * wanted)]
        head = pool[
            diversify(score[pool], self.ranker.vectors[ranked.product[pool]], wanted, strength)
        ]
        placed = np.zeros(len(score), bool)
        placed[head] = True
        return np.concatenate([head, order[~placed[order]]])

    def _reasons(self, product: Indices, sources: list[str], past: Past) -> list[str]:
        support = self.ranker.support(past.dealings.product[:NEWEST_READ], product)
        names, categories = self.catalogue.names, self.catalogue.categories
        return reasons(product, sources, past.dealings, support, names, categories)

    def _weights(self, product: Indices, sources: list[str], past: Past) -> NDArray[np.float64]:
        """(M,) new products, and those of categories that the user has not touched, weigh more."""
        touched = {self.catalogue.categories[row] for row in past.dealings.product.tolist()}
        surprising = [
            source == NEW or self.catalogue.categories[row] not in touched
            for row, source in zip(product.tolist(), sources, strict=True)
        ]
        return np.where(surprising, SURPRISING, 1.0)
