"""What the model shows: whether its scores tell products apart and rightly, and how varied it is.

A score compares within one list only, so it cannot be calibrated as a probability is. What can be
asked of it is whether, within a list, a higher score means more clicks. High places are clicked
more whatever is there, so clicks are counted against those that the same positions get anyway:
``click lift = clicks / sum over products shown of the CTR of their position``. A lift that grows
from low to high scores says that scores know more than the order alone shows. A position at which
all lists have the same band of scores tells nothing and is left out.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.metrics.beyond_accuracy import Catalogue, coverage, diversity, gini, novelty
from recsys_kedro.metrics.evaluation import HEADLINE_K
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.answers import most_frequent, parts_of
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ONE, ratio, ratio_difference

BAND_EDGE: Final = 0.5  # standard deviations of a list's scores from their mean
LOW_BAND, MIDDLE_BAND, HIGH_BAND = "low", "middle", "high"
_BAND: Final = "band"
_BY_POSITION: Final = "by_position"


def model_figures(shown: pl.DataFrame, answers: pl.DataFrame, catalogue: Catalogue) -> list[Figure]:
    """Fallbacks, scores, sources and the variety of a window's lists.

    Args:
        shown: impressions with what followed.
        answers: the same by answer, see :func:`.answers.answers_of`.
        catalogue: what could have been shown.
    """
    return [
        *_fallbacks(answers),
        *_spreads(answers),
        *_scores(shown),
        *_sources(shown),
        *_variety(shown, answers, catalogue),
    ]


def _fallbacks(answers: pl.DataFrame) -> Iterator[Figure]:
    kind = pl.col(c.FALLBACK)
    for part, rows in parts_of(answers):
        yield ratio("fallback_share", rows, kind.is_not_null(), ONE, part)
    for name in most_frequent(answers[c.FALLBACK]):
        is_it = kind.eq_missing(pl.lit(name))
        yield ratio("fallback_share", answers, is_it, ONE, f"{c.FALLBACK}={name}")


def _spreads(answers: pl.DataFrame) -> Iterator[Figure]:
    spread = pl.col(m.SCORE_SPREAD)
    for part, rows in parts_of(answers.filter(spread.is_not_null())):
        yield ratio("score_spread", rows, spread, ONE, part)


def _scores(shown: pl.DataFrame) -> Iterator[Figure]:
    by_model = shown.filter(pl.col(c.FALLBACK).is_null())
    yield ratio("score_missing_share", by_model, ~pl.col(c.SCORE).is_finite().fill_null(False))
    banded = score_bands(by_model)
    telling = banded.filter(pl.col(_BAND).n_unique().over(c.POSITION) > 1)
    clicked, by_position = pl.col(e.CLICKED).cast(pl.Float64), pl.col(_BY_POSITION)
    for band in (LOW_BAND, MIDDLE_BAND, HIGH_BAND):
        is_it, part = pl.col(_BAND) == band, f"{c.SCORE}={band}"
        rows = telling.filter(is_it)
        yield ratio("ctr", banded.filter(is_it), clicked, ONE, part)
        yield ratio("click_lift", rows, clicked, by_position, part)._replace(n=rows.height)
    high, low = (pl.col(_BAND) == band for band in (HIGH_BAND, LOW_BAND))
    yield ratio_difference(
        "score_gain",
        telling.filter(high | low),
        (clicked * high, by_position * high),
        (clicked * low, by_position * low),
    )


def score_bands(shown: pl.DataFrame) -> pl.DataFrame:
    """Impressions with the ``band`` of their score within their list, and ``by_position``.

    ``by_position`` is the CTR of the position in these lists. Lists whose scores are all equal, or
    not all numbers, are left out.
    """
    score = pl.col(c.SCORE)
    of_list = shown.filter(score.is_finite().fill_null(False).all().over(c.RECOMMENDATION_ID))
    deviation = score.std().over(c.RECOMMENDATION_ID)
    apart = (score - score.mean().over(c.RECOMMENDATION_ID)) / deviation
    return of_list.filter(deviation > 0).with_columns(
        pl.when(apart > BAND_EDGE)
        .then(pl.lit(HIGH_BAND))
        .when(apart < -BAND_EDGE)
        .then(pl.lit(LOW_BAND))
        .otherwise(pl.lit(MIDDLE_BAND))
        .alias(_BAND),
        pl.col(e.CLICKED).mean().over(c.POSITION).alias(_BY_POSITION),
    )


def _sources(shown: pl.DataFrame) -> Iterator[Figure]:
    for name in most_frequent(shown[c.SOURCE]):
        is_it = pl.col(c.SOURCE) == name
        yield ratio("source_share", shown, is_it, ONE, f"{c.SOURCE}={name}")


def _variety(shown: pl.DataFrame, answers: pl.DataFrame, catalogue: Catalogue) -> Iterator[Figure]:
    """Of the first :data:`HEADLINE_K` places, as the offline evaluation has it."""
    products_UK = _lists(shown, answers, catalogue)
    for name, measure in (("coverage", coverage), ("gini", gini)):
        value = measure(products_UK, catalogue, HEADLINE_K) if len(products_UK) else None
        yield Figure(name, m.ALL, value, answers.height)
    for name, per_list in (("novelty", novelty), ("diversity", diversity)):
        values = pl.Series(m.VALUE, per_list(products_UK, catalogue, HEADLINE_K))
        known = answers.with_columns(values).filter(pl.col(m.VALUE).is_finite())
        yield ratio(name, known, pl.col(m.VALUE))


def _lists(shown: pl.DataFrame, answers: pl.DataFrame, catalogue: Catalogue) -> NDArray[np.int64]:
    """(answers, K) product indices; -1 where the list is shorter, or the product is unknown."""
    rows = answers.select(c.RECOMMENDATION_ID).with_row_index("list")
    top = shown.filter(pl.col(c.POSITION) <= HEADLINE_K).join(rows, on=c.RECOMMENDATION_ID)
    products_UK = np.full((answers.height, HEADLINE_K), -1, np.int64)
    place = top["list"].to_numpy(), top[c.POSITION].to_numpy() - 1
    products_UK[place] = catalogue.vocabulary.encode(top[c.PRODUCT_ID])
    return products_UK
