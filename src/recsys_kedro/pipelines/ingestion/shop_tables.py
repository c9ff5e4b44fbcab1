"""The shop's own product and user tables in the contract's columns and types."""

import logging
from collections.abc import Mapping

import polars as pl
from pandera.polars import DataFrameSchema

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.mapping import map_columns
from recsys_kedro.pipelines.ingestion.options import ShopOptions
from recsys_kedro.pipelines.ingestion.values import as_number, as_text, as_time

NEVER_NEGATIVE = (c.PRICE, c.STOCK_QUANTITY)

logger = logging.getLogger(__name__)


def read_shop_table(
    raw: pl.DataFrame,
    schema: DataFrameSchema,
    mapping: Mapping[str, str],
    option: str,
    shop: ShopOptions,
) -> pl.DataFrame:
    """The table in the columns and types of ``schema``, one row per id, sorted by it.

    Rows without an id are dropped, of rows with the same id the last one stays, and a value
    that cannot be read, or is negative where that cannot be, is left empty: each with a
    warning that gives the count and the first row. An empty ``raw`` gives an empty table.

    Args:
        raw: as the shop wrote it.
        schema: its first column is the id.
        mapping: our column -> theirs.
        option: the option that holds the mapping, for messages.
        shop: how times are written.

    Raises:
        ValueError: a mapped column, or the one for the id, is not there.
    """
    dtypes = {name: column.dtype.type for name, column in schema.columns.items()}
    if raw.is_empty():
        return pl.DataFrame(schema=dtypes)
    key = next(iter(dtypes))
    mapped = map_columns(raw, mapping, list(dtypes), required=[key], option=option)
    typed = [_typed(mapped[name], dtype, shop, str(schema.name)) for name, dtype in dtypes.items()]
    rows = mapped[c.SOURCE_ROW]
    for values in typed:
        lost = values.is_null() & as_text(mapped[values.name]).is_not_null()
        _warn_of(rows, lost, f"{schema.name}: '{values.name}' cannot be read and is left empty")
    table = pl.DataFrame(typed)
    without = table[key].is_null()
    repeated = ~without & ~table[key].is_last_distinct()
    _warn_of(rows, without, f"{schema.name}: no '{key}', row dropped")
    _warn_of(rows, repeated, f"{schema.name}: '{key}' comes again later, row dropped")
    return table.filter(~(without | repeated)).sort(key)


def _typed(values: pl.Series, dtype: pl.DataType, shop: ShopOptions, table: str) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return as_time(values, shop.time_formats, shop.time_zone, table)
    if dtype == pl.String:
        return as_text(values)
    numbers = as_number(values)
    if values.name in NEVER_NEGATIVE:
        numbers = numbers.set((numbers < 0).fill_null(False), None)
    return numbers.cast(dtype, strict=False)


def _warn_of(source_rows: pl.Series, concerned: pl.Series, what: str) -> None:
    if concerned.any():
        first = source_rows.filter(concerned)[0]
        logger.warning("%s: %d rows (first: row %d).", what, concerned.sum(), first)
