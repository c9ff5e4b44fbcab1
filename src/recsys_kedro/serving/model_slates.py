"""The slates of a model: many requests at once, and a slate for each whatever breaks."""

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.features.schemas import USER_FEATURES
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.exploration import ExplorationOptions, rng_of
from recsys_kedro.serving.histories import Asked, queries_of
from recsys_kedro.serving.rankers import Ranked, Ranker
from recsys_kedro.serving.requests import RecommendationRequest
from recsys_kedro.serving.slates import NO_PAST, Past, Slate, SlateMaker, arrangement
from recsys_kedro.serving.snapshot import NO_HISTORY
from recsys_kedro.serving.telemetry import Telemetry

LOGGER = logging.getLogger(__name__)

UNKNOWN_USER: Final = "unknown_user"
MODEL_FAILED: Final = "model_failed"
RANK: Final = "rank"
ARRANGE: Final = "arrange"
COMPLAIN_EVERY_S = 60.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_CHANCE = rng_of("")  # of lists that are not explored
LIST_COLUMNS = {
    c.QUERY: pl.Int64,
    c.PRODUCT_ID: pl.String,
    c.RANK: pl.Int64,
    c.SCORE: pl.Float64,
    c.SOURCE: pl.String,
    c.REASON: pl.String,
}
DEPTH = 300  # products that a model ranks beyond those that are asked for and those taken
PROFILE = {name: column.dtype.type for name, column in USER_FEATURES.columns.items()
           if name != c.USER_ID}  # fmt: skip


@dataclass
class ModelSlates:
    """A model with all that turns its rankings into slates.

    Attributes:
        maker: rules, diversity, reasons.
        telemetry: counts and times.
    """

    maker: SlateMaker
    telemetry: Telemetry
    _complain_at: float = field(default=0.0, init=False)

    @property
    def ranker(self) -> Ranker:
        """The model over the catalogue."""
        return self.maker.ranker

    def made(self, asked: list[Asked]) -> list[Slate]:
        """A slate for each, whatever breaks; one that breaks does not cost its neighbours."""
        if not asked:
            return []
        try:
            return self._made_by_model(asked)
        except Exception:
            # The answer must not depend on the model's health; the cause is in the log.
            self.telemetry.failed(RANK)
            self._complain(len(asked))
        if len(asked) > 1:
            return [self.made([each])[0] for each in asked]
        past = Past.of(queries_of(asked, PROFILE), 0, self.ranker)
        return [self.maker.slate(asked[0], None, past, MODEL_FAILED)]

    def _made_by_model(self, asked: list[Asked]) -> list[Slate]:
        known = [row for row, each in enumerate(asked) if not each.history.is_empty()]
        queries = queries_of([asked[row] for row in known], PROFILE) if known else None
        return self._arranged(asked, queries, known)

    def _arranged(
        self, asked: list[Asked], queries: Queries | None, known: list[int]
    ) -> list[Slate]:
        """Slates of all; ``queries`` are those of the ``known``, the others get what is popular."""
        ranked: list[Ranked | None] = [None] * len(asked)
        pasts = [NO_PAST] * len(asked)
        if queries is not None and known:
            with self.telemetry.stage(RANK):
                depth = DEPTH + max(asked[row].request.k for row in known)
                depth += int(np.diff(queries.offsets).max())
                lists = self.ranker.rank(queries, depth)
            for query, row in enumerate(known):
                if not asked[row].history.is_empty():
                    ranked[row] = lists[query]
                    pasts[row] = Past.of(queries, query, self.ranker)
                    self.telemetry.candidates(lists[query].by_source())
        with self.telemetry.stage(ARRANGE):
            return [
                self.maker.slate(*each, UNKNOWN_USER)
                for each in zip(asked, ranked, pasts, strict=True)
            ]

    def _complain(self, requests: int) -> None:
        """Log the exception that is being handled, once a minute: it may come with every call."""
        if time.monotonic() >= self._complain_at:
            self._complain_at = time.monotonic() + COMPLAIN_EVERY_S
            LOGGER.exception("the model failed on %d requests; a fallback answers", requests)

    def lists(self, queries: Queries, k: int, *, filter_purchased: bool) -> pl.DataFrame:
        """The lists of many users at once, as their requests would get them, unexplored.

        Returns:
            ``query, product_id, rank, score, source, reason``, sorted by query and rank.
        """
        request = RecommendationRequest(user_id="-", k=k, filter_purchased=filter_purchased)
        asked = [
            Asked(request, time, queries.history[first:last], {})
            for time, first, last in zip(
                queries.requests[c.AS_OF].to_list(),
                queries.offsets[:-1].tolist(),
                queries.offsets[1:].tolist(),
                strict=True,
            )
        ]
        return self._table(self._arranged(asked, queries, list(range(len(queries)))), k)

    def popular_list(self, k: int) -> pl.DataFrame:
        """What somebody of whom nothing is known gets, with the columns of :meth:`lists`."""
        nobody = RecommendationRequest(user_id="-", k=k)
        asked = [Asked(nobody, EPOCH, NO_HISTORY, {})]
        return self._table(self._arranged(asked, None, []), k)

    def _table(self, slates: list[Slate], k: int) -> pl.DataFrame:
        rows = [
            (query, self.maker.catalogue.ids[row], rank, score, source, reason)
            for query, slate in enumerate(slates)
            for rank, (row, score, _, source, reason) in enumerate(
                arrangement(slate, k, ExplorationOptions(), NO_CHANCE), start=1
            )
        ]
        return pl.DataFrame(rows, schema=LIST_COLUMNS, orient="row")
