"""Source rows in the contract's columns and types, not yet judged."""

from collections.abc import Mapping

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.mapping import flatten_context, map_columns, require_column
from recsys_kedro.pipelines.ingestion.options import EVENT_COLUMNS, IngestionOptions
from recsys_kedro.pipelines.ingestion.values import as_number, as_text, as_time

AS_READ = "_as_read"
JUDGED = (c.EVENT_TYPE, c.TIMESTAMP, c.PRICE, c.QUANTITY)


def normalise_events(raw: pl.DataFrame, options: IngestionOptions) -> pl.DataFrame:
    """One row per source row, in its order.

    Returns:
        ``source_row``, the columns of :data:`EVENT_COLUMNS` in their types (empty where the
        source's value cannot be read), for those of :data:`JUDGED` also ``<column>_as_read``
        with the source's value as text, and ``malformed_json``.

    Raises:
        ValueError: a mapped column is not there, or none for user, product, time or type.
    """
    source = options.source
    flat = _with_event_type(flatten_context(raw), options)
    mapped = map_columns(
        flat,
        source.event_columns,
        EVENT_COLUMNS,
        required=(c.EVENT_TYPE, c.USER_ID, c.PRODUCT_ID, c.TIMESTAMP),
        option=options.where("event_columns"),
    )
    text = {name: as_text(mapped[name]) for name in EVENT_COLUMNS if name != c.TIMESTAMP}
    times = mapped[c.TIMESTAMP]
    typed = {
        **text,
        c.EVENT_TYPE: known_event_types(text[c.EVENT_TYPE], options.event_type_aliases),
        c.TIMESTAMP: as_time(times, source.time_formats, source.time_zone, "events"),
        c.PRICE: as_number(mapped[c.PRICE]),
        c.QUANTITY: as_number(mapped[c.QUANTITY]).set(text[c.QUANTITY].is_null(), 1.0),
    }
    as_read = {**text, c.TIMESTAMP: as_text(times)}
    malformed = raw[c.MALFORMED] if c.MALFORMED in raw.columns else pl.lit(None, pl.String)
    normalised = mapped.select(c.SOURCE_ROW).with_columns(
        *(values.alias(name) for name, values in typed.items()),
        *(as_read[name].alias(name + AS_READ) for name in JUDGED),
        malformed.alias(c.MALFORMED),
    )
    return _with_returns(normalised, raw, options)


def known_event_types(values: pl.Series, aliases: Mapping[str, str]) -> pl.Series:
    """Our name of each event type; empty where we know none."""
    names = {_plain(name): ours for name, ours in aliases.items()}
    names |= {name: name for name in c.EVENT_TYPES}
    plain = values.str.strip_chars().str.to_lowercase().str.replace_all(r"[\s-]+", "_")
    return plain.replace_strict(names, default=None, return_dtype=pl.String)


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("-", " ").split())


def _with_event_type(flat: pl.DataFrame, options: IngestionOptions) -> pl.DataFrame:
    constant = options.source.event_type
    if constant is None or c.EVENT_TYPE in options.source.event_columns:
        return flat
    if c.EVENT_TYPE in flat.columns:
        msg = (
            f"{options.where('event_type')}: the source has a column '{c.EVENT_TYPE}' of its "
            f"own. Leave the option empty, or map event_columns.{c.EVENT_TYPE}"
        )
        raise ValueError(msg)
    return flat.with_columns(pl.lit(constant).alias(c.EVENT_TYPE))


def _with_returns(
    normalised: pl.DataFrame, raw: pl.DataFrame, options: IngestionOptions
) -> pl.DataFrame:
    rule = options.source.returns
    if rule is None:
        return normalised
    column = require_column(rule.column, raw.columns, options.where("returns.column"))
    is_return = as_text(raw[column]).str.contains(rule.matches).fill_null(False)
    return normalised.with_columns(
        pl.when(is_return).then(pl.lit(c.RETURN)).otherwise(c.EVENT_TYPE).alias(c.EVENT_TYPE),
        pl.when(is_return).then(pl.col(c.QUANTITY).abs()).otherwise(c.QUANTITY).alias(c.QUANTITY),
    )
