"""Relevance against diversity: ``python benchmarks/diversity.py`` after `make run`.

Lists of ten for the users of the included shop's validation window, by the hybrid fitted before
it, at every strength of the determinantal point process and of maximal marginal relevance.
Writes the figures and draws the frontier.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl
import report
from shops.default_shop import ValidationShop, validation_shop

from recsys_kedro import columns as c
from recsys_kedro.plotting import use_style
from recsys_kedro.plotting.trade_offs import plot_frontier
from recsys_kedro.ranking.trade_offs import (
    DIVERSIFIERS,
    JudgedRanking,
    diversity_frontier,
)
from recsys_kedro.serving.rankers import HybridRanker
from recsys_kedro.serving.slates import Past

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data")
    asked = parser.parse_args()
    shop = validation_shop(asked.data)
    ranker = HybridRanker(shop.model, shop.catalogue)
    rankings = _new_products(shop, ranker)
    frontier = diversity_frontier(rankings, ranker.vectors, shop.catalogue.categories, K)
    figures: dict[str, float | int | str] = {"users": len(rankings), "places": K}
    for method, strength, *values in frontier.iter_rows():
        point = dict(zip(frontier.columns[2:], values, strict=True))
        point["microseconds"] = _microseconds(rankings, ranker, method, strength)
        print(
            f"{method} {strength:.1f} ", *(f"{name} {value:.4f}" for name, value in point.items())
        )
        figures |= {
            f"{method}_{strength:.1f}_{name}": round(value, 4) for name, value in point.items()
        }
    use_style()
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    plot_frontier(frontier, "new products").savefig(
        report.FOLDER / "diversity_frontier.png", dpi=120
    )
    report.write_report("diversity", figures)


def _new_products(shop: ValidationShop, ranker: HybridRanker) -> list[JudgedRanking]:
    """Per user with new products in the truth, the candidates not taken before, best first."""
    new = shop.truth.filter(pl.col(c.TASK) == c.TASK_NEW)
    wanted = dict(new.group_by(c.USER_ID).agg(c.PRODUCT_ID).iter_rows())
    result = []
    for start, batch in shop.queries.batches_over(len(shop.catalogue)):
        del start
        for query, ranked in enumerate(ranker.rank(batch, K)):
            ids = wanted.get(batch.requests[c.USER_ID][query])
            if ids is None:
                continue
            fresh = ranked.where(~np.isin(ranked.product, Past.of(batch, query, ranker).taken))
            hit = np.isin(fresh.product, shop.catalogue.rows_of(ids))
            score = fresh.score.astype(np.float64)
            result.append(JudgedRanking(fresh.product, score, hit, len(ids)))
    return result


def _microseconds(
    rankings: list[JudgedRanking], ranker: HybridRanker, method: str, strength: float
) -> float:
    """The median time that one list takes."""
    taken = []
    for each in rankings:
        vectors = ranker.vectors[each.product]
        began = time.perf_counter()
        DIVERSIFIERS[method](each.score, vectors, K, strength)
        taken.append(time.perf_counter() - began)
    return 1e6 * float(np.median(taken))


if __name__ == "__main__":
    main()
