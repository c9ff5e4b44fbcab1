"""Judge every declared experiment, and write down what came out."""

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from recsys_kedro import columns as c
from recsys_kedro.experiments.analysis import analyse
from recsys_kedro.experiments.declarations import Experiments
from recsys_kedro.experiments.log import Log, experiments_in
from recsys_kedro.experiments.results import SCHEMA_VERSION, ExperimentResults, effects_frame
from recsys_kedro.pipelines.ab_testing.options import AbTestingOptions
from recsys_kedro.pipelines.ab_testing.report import render_report

_TIME: Final = TypeAdapter(AwareDatetime)


def analyse_experiments(
    impressions: pl.DataFrame | pl.LazyFrame,
    events: pl.DataFrame | pl.LazyFrame,
    products: pl.DataFrame | pl.LazyFrame,
    experiments: Experiments,
    options: AbTestingOptions,
    as_of: str | None,
) -> ExperimentResults:
    """Every declared experiment, as the log knows it before ``as_of``.

    Tables may be scans of files that are larger than the memory.

    Args:
        impressions: what was shown, also before the experiments and beside them.
        events: what was done, likewise.
        products: prices of purchases that came without one, and what could be shown.
        experiments: as declared.
        options: how they are analysed, and what was planned.
        as_of: ISO 8601 with its zone; empty: a microsecond after the last event or impression.

    Raises:
        ValueError: if a plan is for an experiment that is not declared, or ``as_of`` is no time.
    """
    declared = experiments.named
    unknown = sorted(options.plans.keys() - declared.keys())
    if unknown:
        msg = (
            f"ab_testing.plans: {unknown} are not declared; there "
            f"{'is no experiment' if not declared else 'are ' + ', '.join(declared)}"
        )
        raise ValueError(msg)
    log = Log(impressions.lazy(), events.lazy(), products.lazy())
    end = _as_utc(as_of) if as_of else _after_the_log(log)
    return ExperimentResults(
        schema_version=SCHEMA_VERSION,
        as_of=end,
        experiments={
            name: analyse(log, experiments, name, options.plans.get(name), options, end)
            for name in declared
        },
        undeclared=tuple(sorted(experiments_in(log.impressions) - declared.keys())),
    )


def tabulate_effects(results: ExperimentResults) -> pl.DataFrame:
    """One row per experiment, treatment and metric, as ``EXPERIMENT_EFFECTS``."""
    return effects_frame(results)


def report_experiments(results: ExperimentResults, options: AbTestingOptions, shop: str) -> str:
    """The results as a self-contained HTML page. ``shop`` is what the shop is called."""
    return render_report(results, options, shop)


def _as_utc(as_of: str) -> datetime:
    try:
        return _TIME.validate_python(as_of).astimezone(UTC)
    except ValidationError as error:
        msg = f"as_of: '{as_of}' is not a time with its zone such as 2025-10-19T10:30:00Z"
        raise ValueError(msg) from error


def _after_the_log(log: Log) -> datetime:
    times = pl.concat([table.select(c.TIMESTAMP) for table in (log.impressions, log.events)])
    last = times.max().collect(engine="streaming").item()
    if not isinstance(last, datetime):
        msg = "impressions and events are empty, so there is no time to judge as of; set as_of"
        raise ValueError(msg)
    return last + timedelta(microseconds=1)
