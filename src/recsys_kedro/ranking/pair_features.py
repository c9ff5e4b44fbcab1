"""Pair features: what a query and a candidate have to do with each other.

The one definition, used when training lists are built and when a request is answered.
Q queries, P products, N candidates, E past events.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import Candidates
from recsys_kedro.ranking.product_state import ProductState
from recsys_kedro.ranking.scorers import TAKEN, Scorers
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]

DECAY_DAYS = 30.0
MAX_LOG_PRICE_RATIO = 3.0
NEVER_DAYS = 999.0


@dataclass(frozen=True)
class PairFeatures:
    """(N, F) values and their F names."""

    names: tuple[str, ...]
    values: Floats


def pair_features(
    queries: Queries, candidates: Candidates, scores: Mapping[str, Floats], snapshot: Snapshot
) -> PairFeatures:
    """All pair features of all candidates; finite, 0 where there is nothing to say.

    Args:
        queries: Q queries, as of the snapshot or later.
        candidates: N candidates of them.
        scores: (Q, P) catalogue scores by name.
        snapshot: scorers and products as of one time.
    """
    query, product = candidates.query, candidates.product
    scorers, vocabulary = snapshot.scorers, snapshot.vocabulary
    parts: dict[str, NDArray[np.floating]] = {}
    parts |= _score_features(scores, query, product)
    for behaviour, weights in scorers.weights.items():
        parts |= _dealings(behaviour, queries, candidates, vocabulary, list(weights))
    parts |= _dealings("returned", queries, candidates, vocabulary, [c.RETURN], times_only=True)
    parts |= _product_features(scorers, snapshot.products, product)
    users = _user_features(queries, list(scorers.weights[TAKEN]))
    parts |= {name: values[query] for name, values in users.items()}
    parts |= _affinities(queries, candidates, scores, snapshot)
    values = np.stack([np.asarray(part, np.float32) for part in parts.values()], axis=1)
    return PairFeatures(tuple(parts), np.nan_to_num(values, posinf=0.0, neginf=0.0))


def _score_features(
    scores: Mapping[str, Floats], query: NDArray[np.int64], product: NDArray[np.int64]
) -> dict[str, Floats]:
    """Each score, and how near it is to the best of its query."""
    result = {}
    for name, values in scores.items():
        best = np.maximum(values.max(axis=1), 1e-9)
        mine = values[query, product]
        result[name] = np.sign(mine) * np.log1p(np.abs(mine))
        result[f"{name}_share"] = np.maximum(mine, -best[query]) / best[query]
    return result


def _dealings(
    name: str,
    queries: Queries,
    candidates: Candidates,
    vocabulary: Vocabulary,
    event_types: list[str],
    *,
    times_only: bool = False,
) -> dict[str, NDArray[np.floating]]:
    """How often, how long ago and how regularly the user dealt with the candidate.

    Order lines of one time count once.
    """
    product = vocabulary.encode(queries.history[c.PRODUCT_ID])
    use = queries.history[c.EVENT_TYPE].is_in(event_types).to_numpy() & (product >= 0)
    key = queries.rows[use] * len(vocabulary) + product[use]
    age = queries.age_days[use]
    pair, counts, last_age, first_age = _runs(key, age)
    wanted = candidates.query * len(vocabulary) + candidates.product
    position = np.searchsorted(pair, wanted)
    found = np.zeros(len(wanted), bool)
    inside = position < len(pair)
    found[inside] = pair[position[inside]] == wanted[inside]

    def of_candidates(values: NDArray[np.floating]) -> NDArray[np.floating]:
        result = np.zeros(len(wanted), np.float32)
        result[found] = values[position[found]]
        return result

    times = of_candidates(counts)
    if times_only:
        return {f"{name}_times": np.log1p(times)}
    last = of_candidates(last_age)
    rhythm = of_candidates((first_age - last_age) / (counts - 1).clip(1))
    newest = _newest_age(queries, use)[candidates.query]
    return {
        f"{name}_times": np.log1p(times),
        f"{name}_age": np.log1p(last),
        f"{name}_fresh": found * np.exp(-last / DECAY_DAYS),
        f"{name}_last_visit": found & (last <= newest + 1 / 24),
        f"{name}_interval": np.log1p(rhythm),
        f"{name}_due": np.where(times > 1, np.clip(last / rhythm.clip(1), 0, 5), 0),
    }


def _runs(key: NDArray[np.int64], age: Floats) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Per distinct key: the key, how many distinct ages, the smallest and the largest age."""
    order = np.lexsort((age, key))
    key, age = key[order], age[order]
    pair, first = np.unique(key, return_index=True)
    if len(pair) == 0:
        nothing = np.zeros(0, np.float32)
        return pair, nothing, nothing, nothing
    fresh_time = np.ones(len(key), np.float32)
    fresh_time[1:] = (key[1:] != key[:-1]) | (age[1:] != age[:-1])
    last_row = np.append(first[1:], len(key)) - 1
    return pair, np.add.reduceat(fresh_time, first), age[first], age[last_row]


def _newest_age(queries: Queries, use: NDArray[np.bool_]) -> Floats:
    """(Q,) the age of the newest of the used events, inf without one."""
    newest = np.full(len(queries), np.inf, np.float32)
    np.minimum.at(newest, queries.rows[use], queries.age_days[use])
    return newest


def _product_features(
    scorers: Scorers, products: ProductState, product: NDArray[np.int64]
) -> dict[str, NDArray[np.floating]]:
    popularity = scorers.popularity
    logs = np.log1p(popularity)
    result: dict[str, NDArray[np.floating]] = {
        f"popularity_{column}": logs[product, column] for column in range(logs.shape[1])
    }
    for column in range(1, logs.shape[1]):
        shift = np.log((popularity[:, column - 1] + 0.1) / (popularity[:, column] + 0.1))
        result[f"trend_{column}"] = shift[product]
    result["repeat_rate"] = scorers.repeat_rate[product]
    result["users"] = np.log1p(scorers.users)[product]
    result["product_age"] = np.log1p(products.age_days)[product]
    result["log_price"] = products.log_price[product]
    for column in range(products.numbers.shape[1]):
        result[f"number_{column}"] = products.numbers[product, column]
    return result


def _user_features(queries: Queries, taken_types: list[str]) -> dict[str, NDArray[np.floating]]:
    """(Q,) per query: how much, how long, how recent, how repetitive the history is."""
    taken = pl.col(c.EVENT_TYPE).is_in(taken_types)
    per_query = (
        queries.history.lazy()
        .select(
            c.PRODUCT_ID,
            c.SESSION_ID,
            c.EVENT_TYPE,
            row=pl.lit(pl.Series(queries.rows)),
            age=pl.lit(pl.Series(queries.age_days)),
        )
        .group_by("row")
        .agg(
            events=pl.len().log1p(),
            sessions=pl.col(c.SESSION_ID).n_unique().log1p(),
            repeats=(taken.sum() - pl.col(c.PRODUCT_ID).filter(taken).n_unique() + 1)
            / (taken.sum() + 2),
            newest=pl.col("age").min().log1p(),
            oldest=pl.col("age").max().log1p(),
        )
        .collect()
    )
    never = np.log1p(NEVER_DAYS)
    quiet = {"events": 0, "sessions": 0, "repeats": 0.5, "newest": never, "oldest": 0}
    result: dict[str, NDArray[np.floating]] = {}
    for name, value in quiet.items():
        result[f"user_{name}"] = np.full(len(queries), value, np.float32)
        result[f"user_{name}"][per_query["row"].to_numpy()] = per_query[name].to_numpy()
    return result


def _affinities(
    queries: Queries, candidates: Candidates, scores: Mapping[str, Floats], snapshot: Snapshot
) -> dict[str, NDArray[np.floating]]:
    """Price against the user's usual price, category match, engagement.

    The history gives the long-term side; the profile (user features as of a snapshot), where
    the request has it, the last weeks'.
    """
    query, product, products = candidates.query, candidates.product, snapshot.products
    history = scores[f"own_{TAKEN}_long"]
    total = (history * np.isfinite(products.log_price)).sum(axis=1)
    usual = (history @ np.nan_to_num(products.log_price)) / np.where(total > 0, total, np.nan)
    paid = queries.profile(f.AVG_PURCHASE_PRICE)
    recent = np.log(np.where(paid > 0, paid, np.nan))
    limits = (-MAX_LOG_PRICE_RATIO, MAX_LOG_PRICE_RATIO)
    price = products.log_price[product]
    return {
        "price_to_usual": np.clip(price - usual[query], *limits),
        "price_to_recent": np.clip(price - recent[query], *limits),
        "category_share": products.category_affinity(history)[query, product],
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
