"""How answers came: how many, how fast, out of the cache, after an error."""

from typing import Final

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.answers import parts_of
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ONE, ratio

PERCENTILES: Final = (50, 95, 99)


def system_figures(
    answers: pl.DataFrame, slow_ms: float, failures: tuple[str, ...]
) -> list[Figure]:
    """Volume, latency and failures of a window's answers.

    Args:
        answers: see :func:`.answers.answers_of`.
        slow_ms: an answer that takes longer is slow.
        failures: fallbacks that stand for an error of the model.
    """
    latency = pl.col(c.LATENCY_MS)
    failed = pl.col(c.FALLBACK).is_in(failures).fill_null(value=False)
    count = answers.height
    return [
        Figure("answers", m.ALL, count, count),
        Figure("users", m.ALL, answers[c.USER_ID].n_unique(), count),
        *(
            Figure(f"latency_p{percent}", m.ALL, _percentile(answers[c.LATENCY_MS], percent), count)
            for percent in PERCENTILES
        ),
        *(
            ratio("slow_share", rows, latency > slow_ms, ONE, part)
            for part, rows in parts_of(answers)
        ),
        ratio("cached_share", answers, pl.col(c.FROM_CACHE)),
        ratio("failed_share", answers, failed),
    ]


def _percentile(values: pl.Series, percent: float) -> float | None:
    return values.quantile(percent / 100, interpolation="linear")
