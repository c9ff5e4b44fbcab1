"""Values of any source in our types: text, numbers, UTC times."""

import logging
from collections.abc import Sequence

import polars as pl

from recsys_kedro.schemas import UTC_TIME

ISO_8601 = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M%z",
    "%Y-%m-%d",
)
MICROSECONDS_PER = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}

logger = logging.getLogger(__name__)


def as_text(values: pl.Series) -> pl.Series:
    """Text as it stands; blank is empty; 17850.0 becomes 17850; objects become JSON."""
    if values.dtype.is_float():
        whole = (values == values.floor()) & values.is_finite()
        integers = values.set((~whole).fill_null(False), None).cast(pl.Int64, strict=False)
        return integers.cast(pl.String).fill_null(values.cast(pl.String))
    if isinstance(values.dtype, pl.Struct):
        filled = values.is_not_null()
        return values.struct.json_encode().set(~filled, None)
    text = values.cast(pl.String)
    return text.set((text.str.strip_chars() == "").fill_null(False), None)


def as_number(values: pl.Series) -> pl.Series:
    """Float64; empty where the value is not a finite number."""
    text = values.str.strip_chars() if values.dtype == pl.String else values
    numbers = text.cast(pl.Float64, strict=False)
    return numbers.set((~numbers.is_finite()).fill_null(False), None)


def as_time(values: pl.Series, formats: Sequence[str], zone: str, table: str) -> pl.Series:
    """UTC with microseconds; empty where the value is not a time.

    Args:
        values: times, dates, text or numbers since 1970.
        formats: tried in this order; empty: ISO 8601.
        zone: the zone of times that name none. A local time that the change to summer time
            leaves out is not a time; of one that happens twice the first is meant.
        table: for the message that says which times were taken to be in ``zone``.

    Raises:
        ValueError: numbers, and no format that says since when they count.
    """
    if values.dtype == pl.Null:
        return values.cast(UTC_TIME)
    if values.dtype.is_numeric():
        return _from_numbers(values, formats, table)
    if values.dtype == pl.String:
        return _from_text(values, formats, zone, table)
    times = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None)))
    return _to_utc(times, zone, table)


def _from_numbers(values: pl.Series, formats: Sequence[str], table: str) -> pl.Series:
    units = [name for name in formats if name in MICROSECONDS_PER]
    if not units:
        msg = (
            f"{table}: column '{values.name}' holds numbers (first: {values.drop_nulls()[0]}). "
            f"Say what they count with time_formats: [epoch_s], [epoch_ms] or [epoch_us]"
        )
        raise ValueError(msg)
    microseconds = as_number(values) * MICROSECONDS_PER[units[0]]
    return microseconds.round().cast(pl.Int64, strict=False).cast(UTC_TIME)


def _from_text(values: pl.Series, formats: Sequence[str], zone: str, table: str) -> pl.Series:
    text = values.str.strip_chars()
    if not formats:
        text = text.str.replace(r"^(\d{4}-\d{2}-\d{2})T", "$1 ")
        text = text.str.replace(r"\s*(Z|UTC)$", "+00:00")
    times = pl.Series(values.name, [None], UTC_TIME).new_from_index(0, values.len())
    for pattern in formats or ISO_8601:
        unread = times.is_null() & text.is_not_null()
        if not unread.any():
            break
        rest = text.set(~unread, None)
        times = times.fill_null(_read(rest, pattern, zone, table))
    return times


def _read(text: pl.Series, pattern: str, zone: str, table: str) -> pl.Series:
    if pattern in MICROSECONDS_PER:
        return _from_numbers(text.cast(pl.Float64, strict=False), [pattern], table)
    times = text.str.to_datetime(pattern, time_unit="us", strict=False)
    return _to_utc(times, zone, table)


def _to_utc(times: pl.Series, zone: str, table: str) -> pl.Series:
    if getattr(times.dtype, "time_zone", None):
        return times.dt.convert_time_zone("UTC")
    if times.null_count() < times.len():
        logger.info("%s: times of '%s' name no zone; taken as %s.", table, times.name, zone)
    local = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")
