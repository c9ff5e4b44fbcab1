"""Pair features: what a query and a candidate have to do with each other.

The one definition, used when training lists are built and when a request is answered.
Q queries, P products, N candidates, E past events.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.models.interactions import steps_back
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import Candidates
from recsys_kedro.ranking.scorers import TAKEN, own_history
from recsys_kedro.ranking.scores import Scores
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]

DECAY_DAYS = 30.0
DECAY_STEPS = 0.8
MAX_LOG_PRICE_RATIO = 3.0
NEVER_DAYS = 999.0


@dataclass(frozen=True)
class PairFeatures:
    """(N, F) values and their F names."""

    names: tuple[str, ...]
    values: Floats


def pair_features(
    queries: Queries, candidates: Candidates, scores: Mapping[str, Scores], snapshot: Snapshot
) -> PairFeatures:
    """All pair features of all candidates; finite, 0 where there is nothing to say.

    Args:
        queries: Q queries, as of the snapshot or later.
        candidates: N candidates of them.
        scores: catalogue scores by name.
        snapshot: scorers and products as of one time.
    """
    query, product = candidates.query, candidates.product
    scorers, vocabulary = snapshot.scorers, snapshot.vocabulary
    parts: dict[str, NDArray[np.floating]] = {}
    parts |= _score_features(scores, query, product)
    for behaviour, weights in scorers.weights.items():
        parts |= _dealings(behaviour, queries, candidates, vocabulary, weights)
    parts |= _dealings("returned", queries, candidates, vocabulary, [c.RETURN], times_only=True)
    of_products = snapshot.product_features
    parts |= dict(zip(of_products.names, of_products.values[product].T, strict=True))
    users = _user_features(queries, scorers.weights[TAKEN])
    parts |= {name: values[query] for name, values in users.items()}
    parts |= _affinities(queries, candidates, scores, snapshot)
    values = np.stack([np.asarray(part, np.float32) for part in parts.values()], axis=1)
    values[~np.isfinite(values)] = 0.0
    return PairFeatures(tuple(parts), values)


def _score_features(
    scores: Mapping[str, Scores], query: NDArray[np.int64], product: NDArray[np.int64]
) -> dict[str, Floats]:
    """Each score, and how near it is to the best of its query."""
    result = {}
    for name, each in scores.items():
        best = np.maximum(each.best, 1e-9)
        mine = each.at(query, product)
        result[name] = np.sign(mine) * np.log1p(np.abs(mine))
        result[f"{name}_share"] = np.maximum(mine, -best[query]) / best[query]
    return result


def _dealings(
    name: str,
    queries: Queries,
    candidates: Candidates,
    vocabulary: Vocabulary,
    event_types: Collection[str],
    *,
    times_only: bool = False,
) -> dict[str, NDArray[np.floating]]:
    """How often, how long ago and how regularly the user dealt with the candidate, and how much.

    Order lines of one time count once; a step is a time at which the user dealt with anything.
    """
    product = queries.products(vocabulary)
    use = queries.are(event_types) & (product >= 0)
    if times_only and not use.any():
        return {f"{name}_times": np.zeros(len(candidates.query), np.float32)}
    row, age = queries.rows[use], queries.age_days[use]
    step = steps_back(row, age)
    key = row * len(vocabulary) + product[use]
    dealings = _Dealings.of(key, age, step, queries.quantities[use])
    wanted = candidates.query * len(vocabulary) + candidates.product
    position = np.searchsorted(dealings.pair, wanted)
    found = np.zeros(len(wanted), bool)
    inside = position < len(dealings.pair)
    found[inside] = dealings.pair[position[inside]] == wanted[inside]

    def of_candidates(values: Floats) -> Floats:
        result = np.zeros(len(wanted), np.float32)
        result[found] = values[position[found]]
        return result

    times = of_candidates(dealings.times)
    if times_only:
        return {f"{name}_times": np.log1p(times)}
    last, first = of_candidates(dealings.last_age), of_candidates(dealings.first_age)
    last_step, first_step = of_candidates(dealings.last_step), of_candidates(dealings.first_step)
    rhythm = (first - last) / (times - 1).clip(1)
    newest, steps = np.full((2, len(queries)), np.inf, np.float32)
    newest[row] = age  # of each row the last stays, which is the newest
    steps[row[::-1]] = step[::-1] + 1
    newest, steps = newest[candidates.query], steps[candidates.query]
    return {
        f"{name}_times": np.log1p(times),
        f"{name}_age": np.log1p(last),
        f"{name}_fresh": found * np.exp(-last / DECAY_DAYS),
        f"{name}_last_visit": found & (last <= newest + 1 / 24),
        f"{name}_interval": np.log1p(rhythm),
        f"{name}_due": np.where(times > 1, np.clip(last / rhythm.clip(1), 0, 5), 0),
        f"{name}_age_before": np.log1p(of_candidates(dealings.age_before)),
        f"{name}_steps": np.log1p(last_step),
        f"{name}_fresh_steps": found * DECAY_STEPS**last_step,
        f"{name}_rate": times / (first_step + 1),
        f"{name}_share": times / steps,
        f"{name}_quantity": np.log1p(of_candidates(dealings.quantity) / times.clip(1)),
        f"{name}_last_quantity": np.log1p(of_candidates(dealings.last_quantity)),
    }


@dataclass(frozen=True)
class _Dealings:
    """Of D distinct keys, ascending: what was dealt with each.

    Attributes:
        pair: (D,) the keys.
        times: (D,) at how many distinct ages.
        last_age, age_before, first_age: (D,) the smallest age, the next, and the largest;
            ``NEVER_DAYS`` where there is no next.
        last_step, first_step: (D,) how many steps those of the smallest and largest age lie back.
        quantity, last_quantity: (D,) the sum, and that of the smallest age.
    """

    pair: NDArray[np.int64]
    times: Floats
    last_age: Floats
    age_before: Floats
    first_age: Floats
    last_step: Floats
    first_step: Floats
    quantity: Floats
    last_quantity: Floats

    @classmethod
    def of(
        cls, key: NDArray[np.int64], age: Floats, step: NDArray[np.int64], quantity: Floats
    ) -> "_Dealings":
        """Of events: the key, age, steps back and quantity of each."""
        order = np.lexsort((age, key))
        key, age, step, quantity = key[order], age[order], step[order], quantity[order]
        pair, first = np.unique(key, return_index=True)
        last = np.append(first[1:], len(key))[: len(first)] - 1
        place = np.repeat(np.arange(len(pair)), last - first + 1)
        fresh_time = np.ones(len(key), bool)
        fresh_time[1:] = (place[1:] != place[:-1]) | (age[1:] != age[:-1])
        time = np.cumsum(fresh_time)
        nth = time - time[first][place]
        before = np.full(len(pair), NEVER_DAYS, np.float32)
        before[place[nth == 1]] = age[nth == 1]
        return cls(
            pair=pair,
            times=_sums(place, fresh_time, len(pair)),
            last_age=age[first],
            age_before=before,
            first_age=age[last],
            last_step=step[first].astype(np.float32),
            first_step=step[last].astype(np.float32),
            quantity=_sums(place, quantity, len(pair)),
            last_quantity=_sums(place, quantity * (nth == 0), len(pair)),
        )


def _sums(place: NDArray[np.int64], values: NDArray[np.generic], size: int) -> Floats:
    return np.bincount(place, values, size).astype(np.float32)


def _user_features(queries: Queries, taken_types: Collection[str]) -> dict[str, Floats]:
    """(Q,) per query: how much, how long, how recent, repetitive and due the history is."""
    size, row, age = len(queries), queries.rows, queries.age_days
    taken = queries.are(taken_types)
    takes = np.bincount(row[taken], minlength=size)
    products = _distinct(row[taken], queries.product_codes[taken], size)
    newest = np.full(size, NEVER_DAYS, np.float32)
    oldest = np.zeros(size, np.float32)
    busy = np.flatnonzero(np.diff(queries.offsets))
    if len(busy):
        first = queries.offsets[busy]
        newest[busy] = np.minimum.reduceat(age, first)
        oldest[busy] = np.maximum.reduceat(age, first)
    sessions = _distinct(row, queries.session_codes, size)
    interval = np.where(sessions > 1, oldest - newest, 0) / (sessions - 1).clip(1)
    features = {
        "events": np.log1p(np.diff(queries.offsets)),
        "sessions": np.log1p(sessions),
        "repeats": (takes - products + 1) / (takes + 2),
        "newest": np.log1p(newest),
        "oldest": np.log1p(oldest),
        "interval": np.log1p(interval),
        "due": np.where(sessions > 1, np.clip(newest / interval.clip(1), 0, 5), 0),
    }
    return {f"user_{name}": values.astype(np.float32) for name, values in features.items()}


def _distinct(row: NDArray[np.int64], code: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(Q,) how many different codes each of the ``size`` rows has."""
    most = int(code.max(initial=0)) + 1
    return np.bincount(np.unique(row * most + code) // most, minlength=size)


def _affinities(
    queries: Queries, candidates: Candidates, scores: Mapping[str, Scores], snapshot: Snapshot
) -> dict[str, NDArray[np.floating]]:
    """Price against the user's usual price, category match, engagement.

    The history gives the long-term side; the profile (user features as of a snapshot), where
    the request has it, the last weeks'.
    """
    query, product, products = candidates.query, candidates.product, snapshot.products
    history = own_history(scores).sparse
    total = history @ products.has_price
    usual = (history @ products.log_price_or_0) / np.where(total > 0, total, np.nan)
    paid = queries.profile(f.AVG_PURCHASE_PRICE)
    recent = np.log(np.where(paid > 0, paid, np.nan))
    limits = (-MAX_LOG_PRICE_RATIO, MAX_LOG_PRICE_RATIO)
    price = products.log_price[product]
    return {
        "price_to_usual": np.clip(price - usual[query], *limits),
        "price_to_recent": np.clip(price - recent[query], *limits),
        "category_share": products.category_share(history)[query, products.category[product]],
        "category_rank_match": _category_rank_match(queries, candidates, snapshot),
        "engagement": queries.profile(f.CLICK_THROUGH_RATE)[query] * products.conversion[product],
    }


def _category_rank_match(
    queries: Queries, candidates: Candidates, snapshot: Snapshot
) -> NDArray[np.floating]:
    """(N,) 1 where the candidate is of the user's top category, 1/2 of the second, … else 0."""
    match = np.zeros(len(candidates.query), np.float32)
    category = snapshot.products.category[candidates.product]
    for rank, name in enumerate(f.TOP_CATEGORIES, start=1):
        if name in queries.requests.columns:
            top = snapshot.categories.encode(queries.requests[name])[candidates.query]
            match = np.where((top == category) & (top >= 0), 1 / rank, match)
    return match
