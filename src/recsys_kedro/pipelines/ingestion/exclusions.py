"""Rows that are no events of the shop by rule: counted, and not called bad."""

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.mapping import require_column
from recsys_kedro.pipelines.ingestion.options import ExclusionRule, IngestionOptions
from recsys_kedro.pipelines.ingestion.values import as_number, as_text


def excluded_by(raw: pl.DataFrame, options: IngestionOptions) -> pl.Series:
    """(N,) the name of the first rule that excludes each row; empty: it stays.

    A line that could not be read has no values to judge and is never excluded.

    Raises:
        ValueError: a rule names a column that is not there.
    """
    excluded = pl.Series("rule", [None], pl.String).new_from_index(0, raw.height)
    read = pl.Series([True]).new_from_index(0, raw.height)
    if c.MALFORMED in raw.columns:
        read = raw[c.MALFORMED].is_null()
    for rule in options.source.exclude:
        option = options.where(f"exclude ('{rule.name}')")
        values = raw[require_column(rule.column, raw.columns, option)]
        holds = _holds(values, rule) & read & excluded.is_null()
        excluded = excluded.set(holds, rule.name)
    return excluded


def _holds(values: pl.Series, rule: ExclusionRule) -> pl.Series:
    text = as_text(values)
    if rule.empty:
        return text.is_null()
    if rule.below is not None:
        return (as_number(values) < rule.below).fill_null(False)
    if rule.matches is not None:
        return text.str.contains(rule.matches).fill_null(False)
    if rule.not_matches is not None:
        return (~text.str.contains(rule.not_matches)).fill_null(False)
    wanted = rule.equals or ()
    numbers = [value for value in wanted if isinstance(value, float)]
    words = [value for value in wanted if isinstance(value, str)]
    return (text.is_in(words) | as_number(values).is_in(numbers)).fill_null(False)
