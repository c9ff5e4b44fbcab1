"""What recommendations earn: clicks, purchases and revenue, in parts."""

import polars as pl

from recsys_kedro.experiments import columns as e
from recsys_kedro.monitoring.answers import parts_of
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ONE, ratio

THOUSAND = 1_000.0


def business_figures(answers: pl.DataFrame) -> list[Figure]:
    """CTR, conversion and revenue of a window's answers, see :func:`.answers.answers_of`."""
    clicks, shown, revenue = (pl.col(name) for name in (e.CLICKS, e.IMPRESSIONS, e.REVENUE))
    return [
        figure
        for part, rows in parts_of(answers)
        for figure in (
            ratio("ctr", rows, clicks, shown, part),
            ratio("conversion", rows, pl.col(e.PURCHASED), ONE, part),
            ratio("revenue_per_thousand_answers", rows, revenue, ONE, part, THOUSAND),
            ratio("revenue_per_thousand_impressions", rows, revenue, shown, part, THOUSAND),
        )
    ]
