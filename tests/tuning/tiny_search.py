"""A search that takes milliseconds; processes that tests kill import this and not the tests."""

import os
import signal
from datetime import UTC, datetime, timedelta

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.models.base import TrainingData, Validation
from recsys_kedro.models.popularity import RecentPopularity
from recsys_kedro.models.registry import MODELS
from recsys_kedro.queries import build_queries
from recsys_kedro.schemas import EVENTS, UTC_TIME
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.search import Search, tune

CUT = datetime(2024, 3, 1, tzinfo=UTC)
# user, product, days before the cut: `old` was bought by most, `new` by the last.
BOUGHT = (
    ("ann", "old", 90), ("ben", "old", 90), ("cy", "old", 90), ("dan", "old", 90),
    ("ann", "mid", 30), ("ben", "mid", 30), ("ann", "new", 2), ("ben", "other", 60),
)  # fmt: skip
TOOK = (("ann", "mid"), ("ben", "new"), ("cy", "new"), ("dan", "old"), ("stranger", "old"))


def make_events(rows=BOUGHT):
    types = {name: column.dtype.type for name, column in EVENTS.columns.items()}
    rows = [
        {
            c.EVENT_TYPE: c.PURCHASE,
            c.USER_ID: user,
            c.PRODUCT_ID: product,
            c.TIMESTAMP: CUT - timedelta(days=days),
            c.SESSION_ID: f"{user}-{days}",
            c.QUANTITY: 1.0,
            c.SOURCE_ROW: number,
        }
        for number, (user, product, days) in enumerate(rows)
    ]
    return pl.DataFrame(rows, schema=types).sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)


def make_data(rows=BOUGHT, took=TOOK):
    events = make_events(rows)
    users = pl.DataFrame({c.USER_ID: sorted({user for user, _ in took})})
    requests = users.with_columns(pl.lit(CUT, UTC_TIME).alias(c.AS_OF))
    pairs = pl.DataFrame(took, schema=[c.USER_ID, c.PRODUCT_ID], orient="row")
    seen = events.select(c.USER_ID, c.PRODUCT_ID)
    truth = pl.concat(
        [
            pairs.with_columns(task=pl.lit(c.TASK_ALL)),
            pairs.join(seen, on=pairs.columns, how="anti").with_columns(task=pl.lit(c.TASK_NEW)),
        ]
    ).select(c.TASK, c.USER_ID, c.PRODUCT_ID)
    validation = Validation(build_queries(events, requests), truth)
    nothing = pl.DataFrame()
    return TrainingData(events, nothing, nothing, CUT, (c.PURCHASE,), validation=validation)


def make_search(folder, *, presets=({},), data=None, seed=7, told=None, **options):
    kind = MODELS["recent_popularity"].options_type
    space = {"recent_popularity": {"half_life_days": {"low": 1, "high": 400, "log": True}}}
    defaults = {"model": "recent_popularity", "trials": 2, "folder": folder, "resamples": 100}
    return Search(
        shop="tiny",
        presets=[kind.model_validate(preset) for preset in presets],
        data=data or make_data(),
        options=TuningOptions.model_validate({"space": space} | defaults | options),
        seed=seed,
        on_trial=(lambda trial: None) if told is None else told.append,
    )


def tune_until_killed(folder, fits):
    """Tune, but die by SIGKILL in the middle of fit number ``fits``."""
    done = 0

    class Killed(RecentPopularity):
        @classmethod
        def fit(cls, data, options, seed):
            nonlocal done
            done += 1
            if done == fits:
                os.kill(os.getpid(), signal.SIGKILL)
            return RecentPopularity.fit(data, options, seed)

    MODELS["recent_popularity"] = Killed
    tune(make_search(folder, trials=6))
