"""From requests to answers: every request gets one, whatever happens to its neighbours."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from recsys_kedro import columns as c
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.models.base import Recommender
from recsys_kedro.ranking.exploration import ExplorationOptions, rng_of
from recsys_kedro.ranking.onboarding import Quiz, answers_as_events
from recsys_kedro.ranking.rules import Rules
from recsys_kedro.seasons import SeasonsOptions
from recsys_kedro.serving.cache import ListCache, list_key, request_hash
from recsys_kedro.serving.catalogue import Catalogue
from recsys_kedro.serving.histories import Asked, history_of, time_of
from recsys_kedro.serving.impressions import ImpressionLog, ShownAnswer
from recsys_kedro.serving.json_logs import of_request
from recsys_kedro.serving.model_slates import MODEL_FAILED, UNKNOWN_USER, ModelSlates
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.requests import (
    RecommendationAnswer,
    RecommendationRequest,
    RecommendedItem,
)
from recsys_kedro.serving.slates import Slate, SlateMaker, arrangement
from recsys_kedro.serving.snapshot import NO_HISTORY, ServingSnapshot
from recsys_kedro.serving.store import OnlineStore, SnapshotStore, UserState
from recsys_kedro.serving.telemetry import Telemetry
from recsys_kedro.serving.variants import Arm, Assigned, Variants

LOGGER = logging.getLogger(__name__)

INTERNAL_ERROR = "internal error, see the server's log"


@dataclass(frozen=True)
class RecommenderService:
    """A fitted model with all that it answers with.

    Attributes:
        model: any model of the registry.
        snapshot: histories, profiles and products as of the model's time.
        version: what the registry calls the model.
        others: further models that A/B tests and seasons choose from, with their versions, by
            their alias.
        experiments: the A/B tests.
        seasons: when a model of its own answers.
        options: of this server.
        store: what is known of users; None: the snapshot.
        cache: of slates, or None.
        rules: the shop's business rules.
        quiz: the questions for users of whom nothing is known, or None.
        impressions: where answers are logged, or None.
        telemetry: counts and times.
    """

    model: Recommender
    snapshot: ServingSnapshot
    version: str
    others: Mapping[str, tuple[Recommender, str]] = field(default_factory=dict)
    experiments: Experiments = field(default_factory=Experiments)
    seasons: SeasonsOptions = field(default_factory=SeasonsOptions)
    options: ServingOptions = field(default_factory=ServingOptions)
    store: OnlineStore | None = None
    cache: ListCache | None = None
    rules: Rules = field(default_factory=Rules)
    quiz: Quiz | None = None
    impressions: ImpressionLog | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    _catalogue: Catalogue = field(init=False, repr=False)
    _variants: Variants = field(init=False, repr=False)
    _questions: list[dict[str, Any]] | None = field(init=False, repr=False)
    _store: OnlineStore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        champion = self._arm(self.model, self.version)
        others = {alias: self._arm(*each) for alias, each in self.others.items()}
        catalogue = champion.slates.maker.catalogue
        variants = Variants(champion, others, self.experiments, self.seasons)
        object.__setattr__(self, "_variants", variants)
        object.__setattr__(self, "_catalogue", catalogue)
        object.__setattr__(self, "_questions", _questions(self.quiz, catalogue))
        object.__setattr__(self, "_store", self.store or SnapshotStore(self.snapshot))

    def _arm(self, model: Recommender, version: str) -> Arm:
        """A model with the products of the champion's snapshot: only the ranking differs."""
        maker = SlateMaker.of(model, self.snapshot.products, self.rules, self.options.diversity)
        made_by = {
            "model": f"{model.name}/{version}",
            "rules": self.rules.model_dump(mode="json"),
            "diversity": self.options.diversity,
        }
        return Arm(ModelSlates(maker, self.telemetry), version, made_by)

    def warm_up(self) -> None:
        """Answer a known and an unknown user once, so that the first request finds it warm."""
        users = [*self.snapshot.histories[c.USER_ID].head(1).to_list(), ""]
        states = SnapshotStore(self.snapshot).fetch(users)
        request = RecommendationRequest(user_id="-")
        asked = [self._asked(request, state, self.snapshot.as_of) for state in states]
        for arm in (self._variants.champion, *self._variants.others.values()):
            arm.slates.made(asked)

    def answer(self, raw: Sequence[Any], now: datetime) -> list[RecommendationAnswer]:
        """One answer per request, in their order.

        Args:
            raw: requests as they came: mappings, to be checked one by one.
            now: UTC; the time of requests that name none.
        """
        ids = [uuid4().hex for _ in raw]
        with of_request(",".join(ids)):
            return self._answer(raw, ids, now)

    def _answer(
        self, raw: Sequence[Any], ids: list[str], now: datetime
    ) -> list[RecommendationAnswer]:
        arrived = time.perf_counter()
        with self.telemetry.stage("check"):
            checked = [self._check(request) for request in raw]
        good = [
            self._variants.of(request, now)
            for request in checked
            if isinstance(request, RecommendationRequest)
        ]
        found = self._slates_of(good, now) if good else []
        named = zip(ids, good, found, strict=False)  # the ids of bad requests stay unused
        answers = iter([self._finish(*each) for each in named])
        result = [
            next(answers) if isinstance(request, RecommendationRequest) else request
            for request in checked
        ]
        latency_ms = 1_000 * (time.perf_counter() - arrived)
        made = zip(good, found, strict=True)
        for answer, request in zip(result, checked, strict=True):
            answer.latency_ms = latency_ms
            self.telemetry.answered(answer)
            if isinstance(request, RecommendationRequest):
                self._log(answer, *next(made), now)
        return result

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

    def apology(self, raw: Any) -> RecommendationAnswer:
        """The answer where there is a fault in our own code; it counts as an error."""
        user_id = raw.get(c.USER_ID) if isinstance(raw, dict) else None
        answer = self._empty(user_id if isinstance(user_id, str) else None, INTERNAL_ERROR)
        self.telemetry.failed("answer")
        self.telemetry.answered(answer)
        return answer

    def _empty(self, user_id: str | None, error: str | None = None) -> RecommendationAnswer:
        return RecommendationAnswer(
            user_id=user_id, model=self.model.name, model_version=self.version, error=error
        )

    def _slates_of(self, assigned: list[Assigned], now: datetime) -> list["_Found"]:
        """A slate for each request, out of the cache or made."""
        hashes = [request_hash(each.request, each.arm.made_by) for each in assigned]
        with self.telemetry.stage("store"):
            states = self._store.fetch([each.request.user_id for each in assigned], hashes)
        keys = [list_key(state.token, hash_) for state, hash_ in zip(states, hashes, strict=True)]
        slates = self._cached(keys, states)
        asked = {
            row: self._asked(assigned[row].request, states[row], now)
            for row, slate in enumerate(slates)
            if slate is None
        }
        for arm, rows in _by_arm(assigned, asked):
            made = arm.slates.made([asked[row] for row in rows])
            for row, slate in zip(rows, made, strict=True):
                slates[row] = slate
        self._remember(keys, slates, states, list(asked))
        return [
            _Found(slate, asked.get(row)) for row, slate in enumerate(slates) if slate is not None
        ]

    def _asked(self, request: RecommendationRequest, state: UserState, now: datetime) -> Asked:
        at = time_of(request, self.snapshot.as_of, now)
        liked = NO_HISTORY
        if self.quiz is not None and request.onboarding:
            known, kind = self._catalogue.vocabulary, self.quiz.event_type
            liked = answers_as_events(request.onboarding, at, kind, known).history
        history = history_of(request, state.history, liked, at)
        return Asked(request, at, history, state.profile, state.degraded)

    def _cached(self, keys: list[bytes], states: list[UserState]) -> list[Slate | None]:
        if self.cache is None:
            return [None] * len(keys)
        with self.telemetry.stage("cache"):
            slates = [_read(raw) for raw in self.cache.get(keys, states)]
        for slate in slates:
            self.telemetry.cache_lookup(hit=slate is not None)
        return slates

    def _remember(
        self,
        keys: list[bytes],
        slates: list[Slate | None],
        states: list[UserState],
        rows: list[int],
    ) -> None:
        if self.cache is None:
            return
        kept = [
            (keys[row], slate.to_bytes(), states[row])
            for row in rows
            if (slate := slates[row]) is not None and slate.fallback != MODEL_FAILED
        ]
        if kept:
            self.cache.put(*(list(column) for column in zip(*kept, strict=True)))

    def _finish(self, id_: str, assigned: Assigned, found: "_Found") -> RecommendationAnswer:
        """Explore, put the pinned in their places, and say it in the words of an answer."""
        slate, request = found.slate, assigned.request
        share = self.options.exploration if request.exploration is None else request.exploration
        exploration = ExplorationOptions(kind=self.options.exploration_kind, share=share)
        shown = arrangement(slate, request.k, exploration, rng_of(id_))
        answer = self._empty(request.user_id)
        answer.recommendation_id, answer.as_of = id_, slate.as_of
        answer.model, answer.model_version = assigned.arm.model, assigned.arm.version
        answer.variants = dict(assigned.variants)
        answer.items = [self._item(rank, *each) for rank, each in enumerate(shown, start=1)]
        answer.from_cache, answer.removed = found.asked is None, dict(slate.removed)
        answer.fallback, answer.degraded = slate.fallback, slate.degraded
        if slate.fallback == UNKNOWN_USER and not request.onboarding:
            answer.onboarding = self._questions
        return answer

    def _item(
        self, rank: int, row: int, score: float, propensity: float, source: str, reason: str
    ) -> RecommendedItem:
        catalogue = self._catalogue
        # What the server made itself need not be checked.
        return RecommendedItem.model_construct(
            product_id=catalogue.ids[row],
            rank=rank,
            score=score,
            propensity=propensity,
            source=source,
            reason=reason,
            name=catalogue.names[row],
            category=catalogue.categories[row],
            price=catalogue.prices[row],
        )

    def _log(
        self, answer: RecommendationAnswer, assigned: Assigned, found: "_Found", now: datetime
    ) -> None:
        """Log what was shown; of a sample, which its ids draw, also what the model was given."""
        if self.impressions is None:
            return
        context = assigned.request.context
        sampled = int(answer.recommendation_id[:8], 16) < self.options.inputs_share * 2**32
        shown = ShownAnswer(
            answer,
            context.time or now,
            found.slate.history_length,
            context.session_id,
            context.device_type,
            assigned.taking_part,
            found.asked if sampled else None,
        )
        self.impressions.offer(shown)


class _Found(NamedTuple):
    """A slate, and the request that it was made for; None: it was in the cache."""

    slate: Slate
    asked: Asked | None


def _by_arm(assigned: list[Assigned], rows: Iterable[int]) -> list[tuple[Arm, list[int]]]:
    """The rows that each arm answers."""
    groups: dict[int, tuple[Arm, list[int]]] = {}
    for row in rows:
        arm = assigned[row].arm
        groups.setdefault(id(arm), (arm, []))[1].append(row)
    return list(groups.values())


def _questions(quiz: Quiz | None, catalogue: Catalogue) -> list[dict[str, Any]] | None:
    """The quiz with the names of its products."""
    if quiz is None or not quiz.questions:
        return None
    return [
        {
            "question": question.id,
            "products": [
                {c.PRODUCT_ID: id_, c.NAME: catalogue.names[row]}
                for id_ in question.product_ids
                for row in catalogue.rows_of([id_]).tolist()
            ],
        }
        for question in quiz.questions
    ]


def _read(raw: bytes | None) -> Slate | None:
    """A slate out of the cache; None where there is none, or something else."""
    if raw is None:
        return None
    try:
        return Slate.from_bytes(raw)
    except (TypeError, ValueError):
        LOGGER.warning("the cache holds something that is no slate")
        return None


def _in_words(error: ValidationError) -> str:
    """What is wrong, field by field, without echoing what was sent."""
    parts = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(step) for step in problem["loc"]) or "request"
        parts.append(f"{where}: {problem['msg']}")
    return "; ".join(parts)
