"""A simulated experiment as a server would have logged it: lists shown, shoppers' answers.

A simulated shop lives for some weeks without recommendations and then, until its end, with lists
of two kinds: the control shows everybody what is popular, the treatment what each shopper likes by
the true tastes. So there is an effect, and whatever reads a serving log has one to read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import narwhals as nw
import numpy as np
import pandera.polars as pa
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.experiments.assignment import choose_variant
from recsys_kedro.experiments.declarations import Experiment, Experiments
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.options import Options
from recsys_kedro.queries import build_queries
from recsys_kedro.ranking.exploration import ExplorationOptions, explore, rng_of
from recsys_kedro.schemas import EVENTS, IMPRESSIONS, SERVED_INPUTS
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.oracle import oracle_scores
from recsys_kedro.simulation.period import period_start
from recsys_kedro.simulation.response import Audience
from recsys_kedro.simulation.response_choice import ResponseOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop

EXPERIMENT: Final = "personal_lists"
CONTROL: Final = "popular"
TREATMENT: Final = "personal"
UNKNOWN_USER: Final = "unknown_user"
RESERVES: Final = 20
_MEDIAN_LATENCY_MS: Final = 12.0
_LATENCY_SIGMA: Final = 0.5


class LogOptions(Options):
    """How large the shop and its log are."""

    shop: SimulationOptions = SimulationOptions(
        users=3_000, products=120, categories=12, brands=30, days=84, events_per_user=60
    )
    served_days: int = Field(28, ge=1, description="the last ones of the shop, with lists")
    places: int = Field(6, ge=1, description="products of a list")
    exploration: float = Field(0.1, ge=0, le=0.5, description="share of slots that are drawn")
    inputs_share: float = Field(0.3, ge=0, le=1, description="of the answers, with logged inputs")


@dataclass(frozen=True)
class SimulatedLog:
    """The tables of a shop that ran an experiment, and the time from which it did.

    All tables are as in the catalog; the features are as of ``since``.
    """

    since: datetime
    experiments: Experiments
    impressions: pl.DataFrame
    served_inputs: pl.DataFrame
    events: pl.DataFrame
    products: pl.DataFrame
    user_features: pl.DataFrame
    product_features: pl.DataFrame


def simulate_log(options: LogOptions, seed: int) -> SimulatedLog:
    """Let the shoppers live; the same options and seed give the same log."""
    shop = simulate_shop(options.shop, seed)
    until = period_start(options.shop) + timedelta(days=options.shop.days)
    since = until - timedelta(days=options.served_days)
    experiment = _experiment(since, until)
    audience = Audience(shop.tastes, shop.events, since, until, ResponseOptions(), seed)
    history = shop.events.filter(pl.col(c.TIMESTAMP) < since)
    visits = audience.visits
    shown = _shown(visits, _Rankings.of(shop, history, visits, since), experiment, options, seed)
    events = _events(history, _lived(audience, shown), until)
    users, products = _features(events, shop, since)
    lengths = _history_lengths(visits, events)
    impressions = _as(IMPRESSIONS, shown.join(lengths, on=c.SESSION_ID))
    return SimulatedLog(
        since=since,
        experiments=Experiments.model_validate(
            {"layers": {"ranking": {"experiments": {EXPERIMENT: experiment}}}}
        ),
        impressions=impressions.sort(c.TIMESTAMP, c.RECOMMENDATION_ID, c.POSITION),
        served_inputs=_inputs(impressions, events, users, since, options.inputs_share, seed),
        events=events,
        products=shop.products,
        user_features=users,
        product_features=products,
    )


def _experiment(start: datetime, end: datetime) -> Experiment:
    return Experiment.model_validate(
        {
            "start": start,
            "end": end,
            "control": CONTROL,
            "variants": {CONTROL: {"model": CONTROL}, TREATMENT: {"model": TREATMENT}},
        }
    )


@dataclass(frozen=True)
class _Rankings:
    """Scores of P products as of a time: for each user, and for everybody."""

    products: pl.Series
    row_of: Mapping[str, int]
    personal_UP: NDArray[np.float64]
    popular_P: NDArray[np.float64]

    @classmethod
    def of(
        cls, shop: Shop, history: pl.DataFrame, visits: pl.DataFrame, since: datetime
    ) -> "_Rankings":
        """Personal ones are for users with a history."""
        products = shop.tastes.product_ids
        users = visits.join(history, on=c.USER_ID, how="semi")[c.USER_ID].unique().sort()
        scores = oracle_scores(shop.tastes, users, since, history)
        bought = history.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
        sold = pl.DataFrame({c.PRODUCT_ID: products}).join(
            bought.group_by(c.PRODUCT_ID).len(), on=c.PRODUCT_ID, how="left", maintain_order="left"
        )
        return cls(
            products,
            {user: row for row, user in enumerate(users)},
            scores.astype(np.float64),
            sold["len"].fill_null(0).to_numpy().astype(np.float64),
        )


def _shown(
    visits: pl.DataFrame,
    rankings: _Rankings,
    experiment: Experiment,
    options: LogOptions,
    seed: int,
) -> pl.DataFrame:
    """The impressions of all visits, but for the length of the history."""
    rng = np.random.default_rng(seed)
    latency = _MEDIAN_LATENCY_MS * rng.lognormal(0.0, _LATENCY_SIGMA, visits.height)
    answers = []
    for visit, latency_ms in zip(visits.iter_rows(named=True), latency.tolist(), strict=True):
        variant = choose_variant(EXPERIMENT, experiment, visit[c.USER_ID])
        row = rankings.row_of.get(visit[c.USER_ID])
        personal = variant == TREATMENT and row is not None
        score_P = rankings.personal_UP[row] if personal else rankings.popular_P
        answer = {
            **visit,
            c.RECOMMENDATION_ID: f"answer-{visit[c.SESSION_ID]}",
            c.SOURCE: "retrieval" if personal else "popular",
            c.MODEL: variant,
            c.VARIANTS: [{c.EXPERIMENT: EXPERIMENT, c.VARIANT: variant}],
            c.FALLBACK: UNKNOWN_USER if row is None else None,
            c.LATENCY_MS: latency_ms,
        }
        answers.append(answer | _list(score_P, rankings.products, answer, options))
    constants = (pl.lit("1").alias(c.MODEL_VERSION), pl.lit(value=False).alias(c.FROM_CACHE))
    lists = (c.POSITION, c.PRODUCT_ID, c.SCORE, c.PROPENSITY)
    return pl.DataFrame(answers, infer_schema_length=None).explode(lists).with_columns(constants)


def _list(
    score_P: NDArray[np.float64],
    products: pl.Series,
    answer: Mapping[str, Any],
    options: LogOptions,
) -> dict[str, list[Any]]:
    """The best products, some slots of them explored; products that are not there score -inf."""
    best = np.argsort(-score_P, kind="stable")[: options.places + RESERVES]
    best = best[np.isfinite(score_P[best])]
    explored = explore(
        score_P[best],
        np.ones(len(best)),
        options.places,
        ExplorationOptions(share=options.exploration),
        rng_of(answer[c.RECOMMENDATION_ID]),
    )
    chosen = best[explored.position]
    return {
        c.POSITION: list(range(1, len(chosen) + 1)),
        c.PRODUCT_ID: products.gather(chosen).to_list(),
        c.SCORE: score_P[chosen].tolist(),
        c.PROPENSITY: explored.propensity.tolist(),
    }


def _lived(audience: Audience, shown: pl.DataFrame) -> pl.DataFrame:
    """What happens in all visits: first everybody's first one, then everybody's second, ….

    Purchases are remembered by user, so only the order of a user's own visits counts.
    """
    number = pl.int_range(pl.len()).over(c.USER_ID).alias("number")
    turns = audience.visits.with_columns(number).partition_by("number", include_key=False)
    return pl.concat(
        audience.respond(visits, shown.join(visits, on=c.SESSION_ID, how="semi"))
        for visits in turns
    )


def _events(history: pl.DataFrame, lived: pl.DataFrame, until: datetime) -> pl.DataFrame:
    both = pl.concat([history, lived.filter(pl.col(c.TIMESTAMP) < until)], how="diagonal")
    in_order = both.sort(c.USER_ID, c.TIMESTAMP, c.EVENT_ID)
    return _as(EVENTS, in_order.with_row_index(c.SOURCE_ROW))


def _features(
    events: pl.DataFrame, shop: Shop, as_of: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Those of users, and those of products."""
    done, sold, known = (
        nw.from_native(table.lazy()) for table in (events, shop.products, shop.users)
    )
    options = FeatureOptions()
    users = user_features(done, sold, known, as_of, options)
    products = product_features(done, sold, as_of, options)
    return users.collect().to_native(), products.collect().to_native()


def _history_lengths(visits: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """``session_id, history_length``: the user's events before the visit."""
    so_far = events.sort(c.TIMESTAMP).select(
        c.USER_ID,
        c.TIMESTAMP,
        pl.int_range(1, pl.len() + 1).over(c.USER_ID).alias(c.HISTORY_LENGTH),
    )
    return (
        visits.sort(c.TIMESTAMP)
        .join_asof(
            so_far,
            on=c.TIMESTAMP,
            by=c.USER_ID,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,  # it cannot see through the groups; both are sorted above
        )
        .select(c.SESSION_ID, pl.col(c.HISTORY_LENGTH).fill_null(0))
    )


def _inputs(
    impressions: pl.DataFrame,
    events: pl.DataFrame,
    profiles: pl.DataFrame,
    since: datetime,
    share: float,
    seed: int,
) -> pl.DataFrame:
    """What the model was given for a sample of the answers: right in every respect."""
    answers = impressions.select(
        c.RECOMMENDATION_ID, c.USER_ID, pl.col(c.TIMESTAMP).alias(c.AS_OF)
    ).unique(c.RECOMMENDATION_ID, maintain_order=True)
    asked = answers.sample(fraction=share, seed=seed)
    queries = build_queries(events, asked)
    past = queries.history.with_columns(
        pl.Series(c.RECOMMENDATION_ID, asked[c.RECOMMENDATION_ID].gather(queries.rows))
    )
    histories = past.group_by(c.RECOMMENDATION_ID, maintain_order=True).agg(
        c.PRODUCT_ID,
        c.EVENT_TYPE,
        pl.col(c.TIMESTAMP).alias(c.EVENT_TIME),
        c.PRICE,
        (pl.col(c.TIMESTAMP) >= since).sum().alias(c.SENT),
    )
    profile = profiles.select(
        c.USER_ID, pl.struct(pl.exclude(c.USER_ID)).struct.json_encode().alias(c.PROFILE)
    )
    lists = pl.col(c.PRODUCT_ID, c.EVENT_TYPE, c.EVENT_TIME, c.PRICE).fill_null([])
    inputs = (
        asked.join(histories, on=c.RECOMMENDATION_ID, how="left")
        .join(profile, on=c.USER_ID)
        .with_columns(lists, pl.col(c.SENT).fill_null(0))
    )
    return _as(SERVED_INPUTS, inputs).sort(c.AS_OF, c.RECOMMENDATION_ID)


def _as(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of the schema, in its types."""
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return frame.select(list(types)).cast(types)
