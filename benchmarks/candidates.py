"""What each source of candidates finds, and what ranking adds: ``make bench-candidates``.

On the validation window of a shop as `make run` left it, by the hybrid fitted before it: recall of
each source at its quota, at 100 and at 500 candidates, what no other source finds, and NDCG@10 of
the candidates in the order of each single score against the order of the fusion network.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import report
from numpy.typing import NDArray
from shops.default_shop import ValidationShop, validation_shop

from recsys_kedro import columns as c
from recsys_kedro.fitting import CHOSEN_AT, figures_of, started_users
from recsys_kedro.models.hybrid import Hybrid, Retrieved
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import SOURCES
from recsys_kedro.ranking.source_recall import source_recalls

QUOTAS = (100, 500)
FUSION = "fusion network"


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data")
    asked = parser.parse_args()
    shop = validation_shop(asked.data)
    events = pl.read_parquet(asked.data / "03_primary" / "events.parquet")
    truth = started_users(shop.truth, events, shop.model.snapshot.scorers.as_of)
    figures: dict[str, float | int | str] = {"users": truth[c.USER_ID].n_unique()}
    for task in c.TASKS:
        pairs = truth.filter(pl.col(c.TASK) == task).select(c.USER_ID, c.PRODUCT_ID)
        for at, recalls in recalls_at(shop, pairs):
            for source, *values in recalls.iter_rows():
                for name, value in zip(recalls.columns[1:], values, strict=True):
                    if value is not None:
                        figures[f"{task}_{source}_{at}_{name}"] = round(value, 4)
    lists = pl.concat(ordered_lists(shop.model, shop.queries))
    for order in lists[c.MODEL].unique(maintain_order=True):
        found = figures_of(truth, lists.filter(pl.col(c.MODEL) == order))
        figures |= {f"{order}: {name}": round(value, 4) for name, value in found.items()}
    report.write_report("candidates", figures)


def recalls_at(shop: ValidationShop, pairs: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The recalls at the quotas in use, then with all sources that are in use at others."""
    model, usual = shop.model, shop.model.candidate_options

    def retrieval(queries: Queries) -> NDArray[np.float32]:
        return model.retrieval_scores(model.user_vectors(queries))

    wider = {
        f"at_{quota}": usual.model_copy(
            update={source: quota for source in SOURCES if getattr(usual, source)}
        )
        for quota in QUOTAS
    }
    for name, options in {"quota": usual, **wider}.items():
        yield name, source_recalls(shop.queries, pairs, model.snapshot, options, retrieval)


def ordered_lists(model: Hybrid, queries: Queries) -> Iterator[pl.DataFrame]:
    """Lists of both tasks from the same candidates, in the order of each score."""
    for _, batch in queries.batches_over(len(model.snapshot.vocabulary)):
        retrieved = model.retrieve(batch)
        scores = model.snapshot.scorers.catalogue_scores(batch, model.snapshot.vocabulary)
        here = retrieved.candidates.query, retrieved.candidates.product
        yield _lists(model, batch, retrieved, FUSION, model.rank(retrieved))
        yield _lists(
            model, batch, retrieved, "retrieval", model.retrieval_scores(retrieved.users)[here]
        )
        for name, each in scores.items():
            yield _lists(model, batch, retrieved, name, each.at(*here))


def _lists(
    model: Hybrid,
    queries: Queries,
    retrieved: Retrieved,
    order: str,
    score: NDArray[np.float32],
) -> pl.DataFrame:
    users = queries.requests.select(c.USER_ID, pl.int_range(pl.len()).alias(c.QUERY))
    parts = [
        model.best(retrieved, score, CHOSEN_AT, exclude_seen=task == c.TASK_NEW)
        .join(users, on=c.QUERY)
        .with_columns(pl.lit(task).alias(c.TASK), pl.lit(order).alias(c.MODEL))
        for task in c.TASKS
    ]
    return pl.concat(parts)


if __name__ == "__main__":
    main()
