"""Are the reasons true? Without the product that a reason names, the recommended one must fall.

``python benchmarks/explanations.py``: for users of the included shop, each "Goes with X" of the
first ten is tried: X is taken out of the history, then another past product at random.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import report
from shops.default_shop import ValidationShop, validation_shop

from recsys_kedro import columns as c
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.reasons import NEWEST_READ
from recsys_kedro.serving.rankers import HybridRanker
from recsys_kedro.serving.slates import Past

PLACES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data")
    parser.add_argument("--users", type=int, default=500)
    asked = parser.parse_args()
    shop = validation_shop(asked.data)
    rng = np.random.default_rng(1)
    falls = np.concatenate(
        [_falls(shop, query, rng) for query in range(min(asked.users, len(shop.queries)))]
    )
    cited, random = falls.T
    report.write_report(
        "explanations",
        {
            "reasons_tried": len(falls),
            "score_falls_without_the_cited_share": round(float((cited > 0).mean()), 4),
            "score_falls_without_a_random_one_share": round(float((random > 0).mean()), 4),
            "cited_more_than_random_share": round(float((cited > random).mean()), 4),
            "mean_fall_cited": round(float(cited.mean()), 4),
            "mean_fall_random": round(float(random.mean()), 4),
        },
    )


def _falls(shop: ValidationShop, query: int, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) how far each cited product's absence, and a random one's, lowers the score."""
    queries = shop.queries.slice(query, query + 1)
    ranker = HybridRanker(shop.model, shop.catalogue)
    past = Past.of(queries, 0, ranker)
    had = past.dealings.product[:NEWEST_READ]
    ranked = ranker.rank(queries, PLACES)[0]
    ranked = ranked.where(~np.isin(ranked.product, past.taken)).head(PLACES)
    support = ranker.support(had, ranked.product)
    if support is None or len(had) < 2:
        return np.empty((0, 2))
    told = np.flatnonzero(support.max(axis=0) > 0)
    cited = had[support[:, told].argmax(axis=0)]
    other = np.array([rng.choice(had[had != product]) for product in cited])
    ids = np.array(shop.catalogue.ids)
    variants = [queries.history, *(_without(queries, ids[row]) for row in (*cited, *other))]
    scores = shop.model.score(
        _stacked(queries, variants),
        pl.DataFrame(
            {
                c.QUERY: np.repeat(np.arange(len(variants)), len(told)),
                c.PRODUCT_ID: np.tile(ids[ranked.product[told]], len(variants)),
            }
        ),
    ).reshape(len(variants), len(told))
    fall = np.diagonal(scores[0] - scores[1 : len(told) + 1])
    return np.stack([fall, np.diagonal(scores[0] - scores[len(told) + 1 :])], axis=1)


def _without(queries: Queries, product: str) -> pl.DataFrame:
    return queries.history.filter(pl.col(c.PRODUCT_ID) != product)


def _stacked(queries: Queries, histories: list[pl.DataFrame]) -> Queries:
    """The query once for each history."""
    requests = pl.concat([queries.requests] * len(histories))
    offsets = np.cumsum([0, *(history.height for history in histories)])
    return Queries(requests, pl.concat(histories), offsets)


if __name__ == "__main__":
    main()
