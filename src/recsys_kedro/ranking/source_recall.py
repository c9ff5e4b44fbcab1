"""What each source of candidates contributes: how much of what was taken it had proposed.

Q queries, P products.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import RETRIEVAL, SOURCES, CandidateOptions, propose
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import (
    IALS,
    LINEAR,
    SEQUENCE,
    TAKEN,
    ScorerOptions,
    behaviours,
    fit_scorers,
)
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.vocabulary import Vocabulary

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def snapshot_at(
    time: datetime,
    events: pl.DataFrame,
    products: pl.DataFrame,
    product_snapshots: pl.DataFrame,
    target_event_types: tuple[str, ...],
    options: ScorerOptions,
) -> Snapshot:
    """Scorers and products as of one of the times of ``product_snapshots``.

    Raises:
        ValueError: if it is none of them.
    """
    now = product_snapshots.filter(pl.col(f.SNAPSHOT_TIME) == time).sort(c.PRODUCT_ID)
    if now.is_empty():
        msg = f"product_snapshots: none as of {time}; take one of its snapshot_time"
        raise ValueError(msg)
    vocabulary, categories = Vocabulary(now[c.PRODUCT_ID]), Vocabulary.fit(now[c.CATEGORY])
    weights = behaviours(events, target_event_types, options)
    return Snapshot(
        fit_scorers(events, products, vocabulary, time, weights, options),
        product_state(now, vocabulary, categories),
        vocabulary,
        categories,
    )


def source_recalls(
    queries: Queries,
    truth: pl.DataFrame,
    snapshot: Snapshot,
    options: CandidateOptions,
    retrieval: Callable[[Queries], Floats] | None = None,
) -> pl.DataFrame:
    """Recall of the candidates, of each source alone and of all together.

    One row per source, then ``all``: ``source``; ``candidates`` per query; ``recall``, the mean
    over users of the share of what they took that is among them; ``only``, the part of it that no
    other source proposed (empty for ``all``).

    Args:
        queries: one per user of the truth, or more.
        truth: ``user_id, product_id`` taken after the queries, each pair once.
        snapshot: as of the queries' time, or before.
        options: quotas.
        retrieval: (Q, P) what a fitted model's own retrieval makes of a batch; empty: it is not
            among the sources.
    """
    scorers = snapshot.scorers
    made_of = {
        LINEAR: scorers.linear,
        SEQUENCE: scorers.sequence,
        IALS: scorers.ials,
        RETRIEVAL: retrieval,
    }
    names = [
        name for name in SOURCES if getattr(options, name) and made_of.get(name, ...) is not None
    ]
    parts = []
    for wanted, relevant, proposed in _batches(queries, truth, snapshot, options, names, retrieval):
        every = np.sum(list(proposed.values()), axis=0)
        for name, mask in {**proposed, "all": every > 0}.items():
            alone = wanted & mask & (every == 1)
            parts.append(
                pl.DataFrame(
                    {
                        c.SOURCE: name,
                        "candidates": mask.sum(axis=1),
                        "recall": (wanted & mask).sum(axis=1) / relevant,
                        "only": None if name == "all" else alone.sum(axis=1) / relevant,
                    },
                    schema_overrides={"only": pl.Float64},
                )
            )
    return pl.concat(parts).group_by(c.SOURCE, maintain_order=True).mean()


def _batches(
    queries: Queries,
    truth: pl.DataFrame,
    snapshot: Snapshot,
    options: CandidateOptions,
    names: list[str],
    retrieval: Callable[[Queries], Floats] | None,
) -> Iterator[tuple[Mask, NDArray[np.int64], dict[str, Mask]]]:
    """By batch: (Q, P) what was taken, (Q,) how many that are, and (Q, P) by source."""
    shelves = Shelves.of(snapshot, options.new_days)
    vocabulary, scorers = snapshot.vocabulary, snapshot.scorers
    for _, batch in queries.batches_over(len(vocabulary)):
        asked = batch.requests.select(c.USER_ID).with_row_index(c.QUERY)
        pairs = truth.join(asked, on=c.USER_ID)
        relevant = np.bincount(pairs[c.QUERY].to_numpy(), minlength=len(batch))
        judged = relevant > 0
        query, product = pairs[c.QUERY].to_numpy(), vocabulary.encode(pairs[c.PRODUCT_ID])
        wanted = np.zeros((len(batch), len(vocabulary)), bool)
        wanted[query[product >= 0], product[product >= 0]] = True
        scores = scorers.catalogue_scores(batch, vocabulary)
        taken = batch.seen(vocabulary, scorers.weights[TAKEN])
        own = None if retrieval is None else retrieval(batch)
        proposed = {}
        for name in names:
            none = dict.fromkeys(SOURCES, 0)
            alone = options.model_copy(update={**none, name: getattr(options, name)})
            found = propose(scores, shelves, taken, alone, own)
            mask = np.zeros(wanted.shape, bool)
            mask[found.query, found.product] = True
            proposed[name] = mask[judged]
        yield wanted[judged], relevant[judged], proposed
