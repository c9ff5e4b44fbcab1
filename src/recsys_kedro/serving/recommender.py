"""From requests to answers: every request gets one, whatever happens to its neighbours."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from recsys_kedro import columns as c
from recsys_kedro.models.base import Recommender
from recsys_kedro.queries import CONTEXT_COLUMNS, HISTORY_COLUMNS, Queries
from recsys_kedro.ranking.cold_start import popular_spread
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.serving.explanations import recommend_explained
from recsys_kedro.serving.requests import (
    RecommendationAnswer,
    RecommendationRequest,
    RecommendedItem,
)
from recsys_kedro.serving.snapshot import NO_HISTORY, ServingSnapshot

LOGGER = logging.getLogger(__name__)

UNKNOWN_USER = "unknown_user"
NOTHING_LEFT = "nothing_left"
MODEL_FAILED = "model_failed"
STALE_AFTER = timedelta(days=60)
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class RecommenderService:
    """A fitted model with the tables that it serves from.

    Attributes:
        model: any model of the registry.
        snapshot: histories, profiles and products as of the model's time.
        version: what the registry calls the model.
    """

    model: Recommender
    snapshot: ServingSnapshot
    version: str

    def answer(self, raw: Sequence[Any], now: datetime) -> list[RecommendationAnswer]:
        """One answer per request, in their order.

        Args:
            raw: requests as they came: mappings, to be checked one by one.
            now: UTC; the time of requests that name none.
        """
        checked = [self._check(request) for request in raw]
        good = [request for request in checked if isinstance(request, RecommendationRequest)]
        answers = iter(self._answer_safely(good, now))
        return [
            next(answers) if isinstance(request, RecommendationRequest) else request
            for request in checked
        ]

    def _check(self, raw: Any) -> RecommendationRequest | RecommendationAnswer:
        """The request, or the answer that says what is wrong with it."""
        given = raw if isinstance(raw, dict) else {}
        try:
            return RecommendationRequest.model_validate(raw)
        except ValidationError as error:
            user_id = given.get(c.USER_ID)
            return self._empty(
                user_id if isinstance(user_id, str) else None, error=_in_words(error)
            )

    def _empty(self, user_id: str | None, error: str | None = None) -> RecommendationAnswer:
        return RecommendationAnswer(
            user_id=user_id, model=self.model.name, model_version=self.version, error=error
        )

    def _answer_safely(
        self, requests: list[RecommendationRequest], now: datetime
    ) -> list[RecommendationAnswer]:
        """An answer for each, whatever breaks; one that breaks does not cost its neighbours."""
        if not requests:
            return []
        try:
            return self._answer_checked(requests, now)
        except Exception:
            # The answer must not depend on the model's health; the cause is in the log.
            LOGGER.exception("the model failed on %d requests", len(requests))
        if len(requests) > 1:
            return [self._answer_safely([request], now)[0] for request in requests]
        request, stored = requests[0], self.snapshot.history(requests[0].user_id)
        return [self._finish(request, self._time(request, now), stored, None, MODEL_FAILED)]

    def _answer_checked(
        self, requests: list[RecommendationRequest], now: datetime
    ) -> list[RecommendationAnswer]:
        times = [self._time(request, now) for request in requests]
        histories = [
            self._history(request, time) for request, time in zip(requests, times, strict=True)
        ]
        known = [not history.is_empty() for history in histories]
        asked = [row for row, is_known in enumerate(known) if is_known]
        lists = self._recommend(requests, times, histories, asked)
        return [
            self._finish(
                request,
                times[row],
                histories[row],
                lists.get(row),
                NOTHING_LEFT if known[row] else UNKNOWN_USER,
            )
            for row, request in enumerate(requests)
        ]

    def _time(self, request: RecommendationRequest, now: datetime) -> datetime:
        """When the answer is for: what the request says, else now, else the data's own time.

        A model whose data ended long ago would see every history as forgotten now.
        """
        if request.context.time is not None:
            return request.context.time
        return self.snapshot.as_of if now - self.snapshot.as_of > STALE_AFTER else now

    def _history(self, request: RecommendationRequest, time: datetime) -> pl.DataFrame:
        """Stored and sent events before ``time``, newest last."""
        stored = self.snapshot.history(request.user_id)
        if not request.events:
            return stored.filter(pl.col(c.TIMESTAMP) < time)
        sent = pl.DataFrame(
            [
                {
                    c.PRODUCT_ID: event.product_id,
                    c.EVENT_TYPE: event.event_type,
                    c.TIMESTAMP: event.timestamp or time - MOMENT,
                    c.SESSION_ID: "request",
                    c.PRICE: event.price,
                    c.QUANTITY: event.quantity,
                }
                for event in request.events
            ],
            schema=NO_HISTORY.schema,
        )
        both = pl.concat([stored, sent]).filter(pl.col(c.TIMESTAMP) < time)
        return both.sort(c.TIMESTAMP, maintain_order=True)

    def _recommend(
        self,
        requests: list[RecommendationRequest],
        times: list[datetime],
        histories: list[pl.DataFrame],
        asked: list[int],
    ) -> dict[int, pl.DataFrame]:
        """Lists with reasons by row of the request; a row is missing where nothing is left."""
        result: dict[int, pl.DataFrame] = {}
        for exclude_seen in (False, True):
            rows = [row for row in asked if requests[row].filter_purchased is exclude_seen]
            if not rows:
                continue
            queries = self._queries(
                [requests[row] for row in rows],
                [times[row] for row in rows],
                [histories[row] for row in rows],
            )
            k = max(requests[row].k for row in rows)
            best = self.explained(queries, k, exclude_seen=exclude_seen)
            parts = best.partition_by(c.QUERY, as_dict=True)
            for position, row in enumerate(rows):
                if (position,) in parts:
                    result[row] = parts[(position,)].head(requests[row].k)
        return result

    def _queries(
        self,
        requests: list[RecommendationRequest],
        times: list[datetime],
        histories: list[pl.DataFrame],
    ) -> Queries:
        context = pl.DataFrame(
            {
                c.AS_OF: pl.Series(times, dtype=UTC_TIME),
                c.DEVICE_TYPE: [request.context.device_type for request in requests],
                c.CATEGORY: [request.context.category for request in requests],
                c.SEARCH_QUERY: [request.context.search_query for request in requests],
                c.LIVE: [True] * len(requests),
            },
            schema_overrides=CONTEXT_COLUMNS,
        )
        profiles = self.snapshot.profiles_of([request.user_id for request in requests])
        lengths = [history.height for history in histories]
        return Queries(
            pl.concat([profiles, context], how="horizontal"),
            pl.concat(histories).select(HISTORY_COLUMNS),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        )

    def explained(self, queries: Queries, k: int, *, exclude_seen: bool) -> pl.DataFrame:
        """The model's lists with ``source`` and ``reason``."""
        return recommend_explained(
            self.model, queries, self.snapshot.products, k, exclude_seen=exclude_seen
        )

    def _finish(
        self,
        request: RecommendationRequest,
        time: datetime,
        history: pl.DataFrame,
        best: pl.DataFrame | None,
        without_list: str,
    ) -> RecommendationAnswer:
        """The answer with ``best``, or with popular products and ``without_list`` for a reason."""
        fallback = None
        if best is None:
            fallback = without_list
            best = self.popular_list(request.k, history if request.filter_purchased else None)
        if best.is_empty() and request.filter_purchased:
            # The user has everything: something that can be bought again beats nothing.
            fallback, best = NOTHING_LEFT, self.popular_list(request.k, None)
        shown = best.join(
            self.snapshot.products.drop(c.SCORE), on=c.PRODUCT_ID, how="left", maintain_order="left"
        ).with_columns(pl.lit(1.0).alias(c.PROPENSITY))
        items = [
            RecommendedItem.model_validate(row)
            for row in shown.select(list(RecommendedItem.model_fields)).iter_rows(named=True)
        ]
        answer = self._empty(request.user_id)
        return answer.model_copy(
            update={"items": items, "fallback": fallback, "as_of": time.isoformat()}
        )

    def popular_list(self, k: int, history: pl.DataFrame | None) -> pl.DataFrame:
        """Popular products over many categories, without those that a history has bought."""
        bought = None
        if history is not None:
            bought = history.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)[c.PRODUCT_ID]
        spread = popular_spread(self.snapshot.popular, k, exclude=bought)
        return spread.with_columns(pl.lit("Popular in this shop").alias(c.REASON))


def _in_words(error: ValidationError) -> str:
    """What is wrong, field by field, without echoing what was sent."""
    parts = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(step) for step in problem["loc"]) or "request"
        parts.append(f"{where}: {problem['msg']}")
    return "; ".join(parts)
