"""Relevance against diversity: ``python benchmarks/diversity.py`` after `make run`.

Lists of ten for the users of the included shop's validation window, by the hybrid fitted before
it, at every strength of the determinantal point process and of maximal marginal relevance.
Writes the figures and draws the frontier.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import report
from numpy.typing import NDArray
from shops.default_shop import ValidationShop, validation_shop

from recsys_kedro import columns as c
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.ranking.diversity import diversify, mmr
from recsys_kedro.serving.rankers import HybridRanker, Ranked
from recsys_kedro.serving.slates import Past

K = 10
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
METHODS = {"dpp": diversify, "mmr": mmr}
Method = Callable[[NDArray, NDArray, int, float], NDArray[np.int64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data")
    asked = parser.parse_args()
    shop = validation_shop(asked.data)
    ranker = HybridRanker(shop.model, shop.catalogue)
    lists = _new_products(shop, ranker)
    figures: dict[str, float | int | str] = {"users": len(lists), "places": K}
    points = {}
    for name, method in METHODS.items():
        points[name] = [_point(shop, ranker, lists, method, strength) for strength in STRENGTHS]
        for strength, (ndcg, distance, categories, micros) in zip(
            STRENGTHS, points[name], strict=True
        ):
            print(f"{name} {strength:.1f}  NDCG@10 {ndcg:.4f}  distance {distance:.3f}  "
                  f"categories {categories:.2f}  {micros:.0f} us")  # fmt: skip
            for what, value in (
                ("ndcg", ndcg), ("distance", distance), ("categories", categories),
                ("microseconds", micros),
            ):  # fmt: skip
                figures[f"{name}_{strength:.1f}_{what}"] = round(float(value), 4)
    _draw(points)
    report.write_report("diversity", figures)


def _new_products(shop: ValidationShop, ranker: HybridRanker) -> list[Ranked]:
    """Per query its candidates that the user has not taken, best first."""
    result = []
    for start, batch in shop.queries.batches_over(len(shop.catalogue)):
        del start
        for query, ranked in enumerate(ranker.rank(batch, K)):
            taken = Past.of(batch, query, ranker).taken
            result.append(ranked.where(~np.isin(ranked.product, taken)))
    return result


def _point(
    shop: ValidationShop, ranker: HybridRanker, lists: list[Ranked], method: Method, strength: float
) -> tuple[float, float, float, float]:
    """NDCG@10 of new products, mean distance in the list, its categories, microseconds."""
    users = shop.queries.requests[c.USER_ID].to_list()
    rows, distances, categories, seconds = [], [], [], []
    for user, ranked in zip(users, lists, strict=True):
        vectors = ranker.vectors[ranked.product]
        began = time.perf_counter()
        order = method(ranked.score, vectors, K, strength)
        seconds.append(time.perf_counter() - began)
        product = ranked.product[order]
        alike = vectors[order] @ vectors[order].T
        pairs = np.triu_indices(len(order), 1)
        distances.append(1 - alike[pairs].mean() if len(order) > 1 else 0.0)
        categories.append(len({shop.catalogue.categories[row] for row in product}))
        rows += [(user, shop.catalogue.ids[row], rank) for rank, row in enumerate(product, 1)]
    best = pl.DataFrame(rows, schema=[c.USER_ID, c.PRODUCT_ID, c.RANK], orient="row").with_columns(
        pl.lit(c.TASK_NEW).alias(c.TASK), pl.lit("hybrid").alias(c.MODEL)
    )
    truth = shop.truth.filter(pl.col(c.TASK) == c.TASK_NEW, pl.col(c.USER_ID).is_in(users))
    ndcg = ndcg_by_user(truth, best, K)["ndcg"].mean()
    return float(ndcg), float(np.mean(distances)), float(np.mean(categories)), 1e6 * float(
        np.median(seconds)
    )  # fmt: skip


def _draw(points: dict[str, list[tuple[float, float, float, float]]]) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for (name, found), style in zip(points.items(), ("o-", "s--"), strict=True):
        ndcg, distance, _, _ = np.array(found).T
        axes.plot(distance, ndcg, style, label=name.upper(), color="black", alpha=0.7)
        for strength, x, y in zip(STRENGTHS, distance, ndcg, strict=True):
            axes.annotate(f"{strength:.1f}", (x, y), fontsize=7, xytext=(3, 3),
                          textcoords="offset points")  # fmt: skip
    axes.set(xlabel="mean cosine distance within a list of ten", ylabel="NDCG@10, new products")
    axes.set_title("What diversity costs (numbers: strength)")
    axes.legend()
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(report.FOLDER / "diversity_frontier.png", dpi=120)


if __name__ == "__main__":
    main()
