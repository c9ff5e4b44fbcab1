"""From the folders of a logged model and the options of a server to the service that answers."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro.experiments.declarations import Experiments, read_experiments
from recsys_kedro.models.base import Recommender
from recsys_kedro.models.registry import AnyModel
from recsys_kedro.options import Options
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.onboarding import Quiz
from recsys_kedro.ranking.rules import Rules
from recsys_kedro.seasons import SeasonsOptions, alias_of
from recsys_kedro.serving.cache import ListCache, LocalCache, RedisCache
from recsys_kedro.serving.health import Health
from recsys_kedro.serving.impression_files import ParquetImpressions, answer_line
from recsys_kedro.serving.impressions import ImpressionLog, ImpressionSink
from recsys_kedro.serving.json_logs import configure_logging
from recsys_kedro.serving.metrics_port import MetricsPort
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.redis_link import RedisLink
from recsys_kedro.serving.redis_store import RedisStore
from recsys_kedro.serving.registered_models import registered_name, version_with_alias
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.serving.store import SnapshotStore
from recsys_kedro.serving.telemetry import Telemetry
from recsys_kedro.serving.variants import aliases_of, registered_folder
from recsys_kedro.streams.impressions_sink import KafkaImpressions
from recsys_kedro.streams.options import Connection

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the logged model consists of.

    Attributes:
        model, snapshot: folders.
        quiz: a file, or None.
        shop: whose model it is; part of every key in Redis.
        version: what the registry calls the model.
    """

    model: Path
    snapshot: Path
    quiz: Path | None
    shop: str
    version: str


def assemble(parts: Parts, options: ServingOptions) -> RecommenderService:
    """Load, connect, and answer a first request.

    A model that cannot be loaded costs quality, not the answers; the health says so. How many
    threads compute is for the environment to say, see ``launch``.

    Raises:
        OSError, ValueError: if the snapshot, the rules, the A/B tests or the seasons cannot be
            read: there is nothing to show then, or no telling what must not be shown, or to whom.
    """
    if options.json_logs:
        configure_logging()
    telemetry, health = Telemetry(), Health()
    if options.metrics_port is not None:
        MetricsPort(options.metrics_host, options.metrics_port, telemetry, health)
    snapshot = ServingSnapshot.load(parts.snapshot)
    link = RedisLink.of(options)
    store = SnapshotStore(snapshot)
    model = _model("model", parts.model, health)
    experiments, seasons = _experiments(options), _seasons(options)
    others = _others(parts.shop, experiments, health) | _of_seasons(parts.shop, seasons, health)
    service = RecommenderService(
        model,
        snapshot,
        parts.version,
        others,
        experiments,
        seasons,
        options,
        store=store if link is None else RedisStore(link, parts.shop, store),
        cache=_cache(options, link),
        rules=Rules() if options.rules_file is None else Rules.read(options.rules_file),
        quiz=None if parts.quiz is None else Quiz.load(parts.quiz),
        impressions=_impressions(options, telemetry, health),
        telemetry=telemetry,
    )
    if link is not None:
        _watch(link, telemetry, health)
    service.warm_up()
    telemetry.ready(model.name, parts.version)
    health.ready(model.name, parts.version)
    return service


class Unavailable(Recommender):
    """Stands for a model that could not be loaded: it answers nothing, so fallbacks do."""

    name = "unavailable"
    options_type = Options

    @classmethod
    def fit(cls, data: Any, options: Any, seed: int) -> Self:
        """There is nothing to fit."""
        return cls()

    def recommend(self, queries: Queries, k: int, *, exclude_seen: bool) -> pl.DataFrame:
        """Raises RuntimeError, always."""
        msg = "the model could not be loaded, see the log of the start"
        raise RuntimeError(msg)

    def score(self, queries: Queries, candidates: pl.DataFrame) -> NDArray[np.float32]:
        """(N,) as of unknown products."""
        return np.full(candidates.height, -np.inf, np.float32)

    def save(self, folder: Path) -> None:
        """There is nothing to save."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """There is nothing to load."""
        return cls()


def _experiments(options: ServingOptions) -> Experiments:
    path = options.experiments_file
    return Experiments() if path is None else read_experiments(path)


def _others(
    shop: str, experiments: Experiments, health: Health
) -> dict[str, tuple[Recommender, str]]:
    """The models that A/B tests name, out of the registry."""
    others = {}
    for alias in sorted(aliases_of(experiments)):
        folder, version = registered_folder(registered_name(shop), alias)
        others[alias] = _model(f"model {alias}", folder, health), version
    return others


def _seasons(options: ServingOptions) -> SeasonsOptions:
    path = options.seasons_file
    if path is None:
        return SeasonsOptions()
    return SeasonsOptions.read(path.read_text(encoding="utf-8"), str(path))


def _of_seasons(
    shop: str, seasons: SeasonsOptions, health: Health
) -> dict[str, tuple[Recommender, str]]:
    """The models of the seasons out of the registry; what is not there is said once."""
    model, found = registered_name(shop), {}
    for season in seasons.named:
        alias = alias_of(season)
        if version_with_alias(model, alias) is None:
            LOGGER.warning(
                "season %s: %s has no version with the alias %s, so the champion answers in it",
                season, model, alias,
            )  # fmt: skip
            continue
        folder, version = registered_folder(model, alias)
        loaded = _model(f"model {alias}", folder, health, instead="the champion")
        if not isinstance(loaded, Unavailable):
            found[alias] = loaded, version
    return found


def _model(
    part: str, folder: Path, health: Health, instead: str = "popular products"
) -> Recommender:
    try:
        return AnyModel.load(folder)
    except Exception as error:
        # A damaged file must not be an outage: popular products are served until it is mended.
        LOGGER.exception(
            "the model in %s cannot be loaded, in its place serves %s", folder, instead
        )
        problem = f"cannot be loaded ({type(error).__name__}); in its place serves {instead}"
        health.watch(part, lambda: problem)
        return Unavailable()


def _cache(options: ServingOptions, link: RedisLink | None) -> ListCache | None:
    if options.cache_size == 0:
        return None
    local = LocalCache(options.cache_size, options.cache_seconds)
    return local if link is None else RedisCache(link, options.cache_seconds, local)


def _impressions(
    options: ServingOptions, telemetry: Telemetry, health: Health
) -> ImpressionLog | None:
    sink = _sink(options)
    if sink is None:
        return None
    log = ImpressionLog(sink, options.impressions_queue, telemetry)
    health.watch("impressions", lambda: log.problem)
    return log


def _sink(options: ServingOptions) -> ImpressionSink | None:
    if options.impressions_topic:
        connection = Connection(
            bootstrap_servers=options.kafka_bootstrap_servers, client=options.kafka_client
        )
        return KafkaImpressions(
            connection, options.impressions_topic, options.impressions_timeout_s, answer_line
        )
    if options.impressions_folder is None:
        return None
    return ParquetImpressions(
        options.impressions_folder, options.impressions_rows_per_file, options.impressions_seconds
    )


def _watch(link: RedisLink, telemetry: Telemetry, health: Health) -> None:
    link.tell = lambda is_open: telemetry.store_breaker(is_open=is_open)
    health.watch(
        "redis", lambda: "does not answer; the snapshot does" if link.breaker.is_open else None
    )
