"""How long the analysis of an experiment takes, and how much memory: from log to verdict's figures.

Run: ``python benchmarks/experiment_scale.py --answers 1000000`` for 10 million impressions and
50 million events (100,000 answers by default). The log is drawn at random, without an effect, and
lies in a temporary folder that is removed at the end.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import report

from recsys_kedro import columns as c
from recsys_kedro.experiments.analysis import AnalysisOptions, analyse
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.experiments.exposures import Scope
from recsys_kedro.experiments.log import Log
from recsys_kedro.experiments.results import ExperimentResult
from recsys_kedro.experiments.unit_totals import TotalsOptions
from recsys_kedro.experiments.verdict import ExperimentPlan

START = datetime(2025, 3, 3, tzinfo=UTC)
DAYS, PAST_DAYS = 21, 7
SCOPE = Scope("test", START, START + timedelta(days=DAYS))
PRODUCTS = 5_000
LIST = 10
EVENTS_PER_ANSWER = 50
KINDS = (c.PRODUCT_VIEW, c.CLICK, c.ADD_TO_CART, c.PURCHASE, c.RETURN)
SHARES = (0.8, 0.13, 0.045, 0.02, 0.005)
OF_THE_LIST, LINKED = 0.3, 0.05
BLOCK = 50_000


def times(seconds: np.ndarray) -> pl.Series:
    epoch = np.int64(START.timestamp() * 1_000_000)
    return pl.Series(epoch + (seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


def names(prefix: str, numbers: np.ndarray) -> pl.Series:
    return pl.select(pl.lit(prefix) + pl.Series(numbers).cast(pl.String).str.zfill(12)).to_series()


def product_names(rng: np.random.Generator, size: int) -> np.ndarray:
    """Popular ones more often."""
    return (PRODUCTS * rng.random(size) ** 3).astype(int)


def taken_part(variant: pl.Series) -> pl.Series:
    entry = pl.struct(pl.lit(SCOPE.experiment).alias(c.EXPERIMENT), variant.alias(c.VARIANT))
    return pl.select(pl.concat_list(entry)).to_series()


def write_block(rng: np.random.Generator, folder: Path, first: int, size: int, users: int) -> None:
    """One session per answer, its events within half an hour."""
    answer, user = np.arange(first, first + size), rng.integers(0, users, size)
    second = rng.uniform(-PAST_DAYS, DAYS, size) * 86_400
    shown = product_names(rng, size * LIST).reshape(size, LIST)
    rows = np.repeat(np.arange(size), LIST)
    pl.DataFrame(
        {
            c.RECOMMENDATION_ID: names("r", answer[rows]),
            c.USER_ID: names("u", user[rows]),
            c.TIMESTAMP: times(second[rows]),
            c.SESSION_ID: names("s", answer[rows]),
            c.DEVICE_TYPE: pl.Series(("mobile", "desktop")).gather(user[rows] % 2),
            c.POSITION: np.tile(np.arange(1, LIST + 1), size),
            c.PRODUCT_ID: names("p", shown.ravel()),
            c.VARIANTS: taken_part(pl.Series(("old", "new")).gather(user[rows] % 3 % 2)),
            c.FALLBACK: pl.repeat(None, size * LIST, dtype=pl.String, eager=True),
            c.LATENCY_MS: rng.lognormal(2, 0.5, size)[rows],
            c.HISTORY_LENGTH: user[rows] % 50,
        }
    ).write_parquet(folder / f"impressions_{first:09}.parquet")
    rows = np.repeat(np.arange(size), EVENTS_PER_ANSWER)
    count = len(rows)
    of_list = rng.random(count) < OF_THE_LIST
    listed = shown[rows, rng.integers(0, LIST, count)]
    linked = pl.Series(rng.random(count) < LINKED)
    pl.DataFrame(
        {
            c.EVENT_TYPE: pl.Series(KINDS).gather(rng.choice(len(KINDS), count, p=SHARES)),
            c.USER_ID: names("u", user[rows]),
            c.PRODUCT_ID: names("p", np.where(of_list, listed, product_names(rng, count))),
            c.TIMESTAMP: times(second[rows] + rng.uniform(0, 1_800, count)),
            c.SESSION_ID: names("s", answer[rows]),
            c.PRICE: rng.lognormal(3, 1, count),
            c.QUANTITY: np.ones(count),
            c.RECOMMENDATION_ID: names("r", answer[rows]).zip_with(
                linked, pl.repeat(None, count, dtype=pl.String, eager=True)
            ),
        }
    ).write_parquet(folder / f"events_{first:09}.parquet")


def declared() -> Experiments:
    variants = {"old": {"weight": 2}, "new": {"weight": 1}}
    period = {"start": SCOPE.start, "end": SCOPE.end}
    experiment = {**period, "control": "old", "variants": variants}
    layer = {"experiments": {SCOPE.experiment: experiment}}
    return Experiments.model_validate({"layers": {"layer": layer}})


def judge(folder: Path, users: int) -> ExperimentResult:
    """As the pipeline does it, but from files: what is in memory is what the analysis keeps."""
    impressions, events = (
        pl.scan_parquet(folder / f"{table}_*.parquet") for table in ("impressions", "events")
    )
    products = pl.LazyFrame({c.PRODUCT_ID: names("p", np.arange(PRODUCTS)), c.PRICE: 20.0})
    return analyse(
        Log(impressions, events, products),
        declared(),
        SCOPE.experiment,
        ExperimentPlan(planned_units=users),
        AnalysisOptions(totals=TotalsOptions(pre_days=PAST_DAYS)),
        SCOPE.end,
    )


def main() -> None:
    """Draw a log, analyse it and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    answers = parser.parse_args().answers
    rng, figures = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, answers, BLOCK):
            write_block(rng, Path(folder), first, min(BLOCK, answers - first), answers)
        figures["peak_memory_before_mib"] = report.peak_memory_mib()
        start = time.perf_counter()
        result = judge(Path(folder), answers)
        figures["whole_analysis_s"] = round(time.perf_counter() - start, 1)
    size = {
        "data": "random log",
        "impressions": answers * LIST,
        "events": answers * EVENTS_PER_ANSWER,
        "users_in_the_experiment": sum(result.split.units.values()),
    }
    peak = {"peak_memory_mib": report.peak_memory_mib()}
    verdict = {"verdict": result.verdicts["new"].headline}
    report.write_report("experiment_scale", size | figures | peak | verdict)


if __name__ == "__main__":
    main()
