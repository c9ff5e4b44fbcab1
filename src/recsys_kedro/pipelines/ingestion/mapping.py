"""Their columns under our names."""

import difflib
from collections.abc import Mapping, Sequence

import polars as pl

from recsys_kedro import columns as c

CONTEXT = "context"
CONTEXT_FIELDS = (c.CATEGORY, c.PRICE, c.SEARCH_QUERY)


def flatten_context(raw: pl.DataFrame) -> pl.DataFrame:
    """Put the fields of ``context`` beside the other columns, as ``context.<field>``.

    ``context`` may be a nested object, or JSON text (category, price and search query are
    taken from it). Without such a column the frame is given back as it is.
    """
    if CONTEXT not in raw.columns:
        return raw
    dtype = raw.schema[CONTEXT]
    if isinstance(dtype, pl.Struct):
        fields = {field.name: pl.col(CONTEXT).struct.field(field.name) for field in dtype.fields}
    elif dtype == pl.String:
        fields = {name: pl.col(CONTEXT).str.json_path_match(f"$.{name}") for name in CONTEXT_FIELDS}
    else:
        fields = {}
    return raw.with_columns(
        expression.alias(f"{CONTEXT}.{name}") for name, expression in fields.items()
    )


def map_columns(
    raw: pl.DataFrame,
    mapping: Mapping[str, str],
    ours: Sequence[str],
    required: Sequence[str],
    option: str,
) -> pl.DataFrame:
    """``source_row`` and every column of ``ours``, in the source's types.

    A column that is mapped comes from there; one that is not comes from the column of its own
    name, then from ``context.<name>``; one that is nowhere is empty.

    Args:
        raw: the source, with ``context`` flattened.
        mapping: ours -> theirs.
        ours: the columns wanted.
        required: those that must be there.
        option: the option that holds the mapping, for messages.

    Raises:
        ValueError: a mapped or a required column is not there.
    """
    numbered = raw if c.SOURCE_ROW in raw.columns else raw.with_row_index(c.SOURCE_ROW, offset=1)
    expressions = [pl.col(c.SOURCE_ROW).cast(pl.Int64)]
    for name in ours:
        found = _columns_of(name, raw.columns, mapping, option)
        if name in required and not found:
            msg = (
                f"{option}: the source has no column '{name}', and none is mapped to it. "
                f"Its columns: {', '.join(raw.columns)}"
            )
            raise ValueError(msg)
        value = pl.coalesce(found) if found else pl.lit(None)
        expressions.append(value.alias(name))
    return numbered.select(expressions)


def _columns_of(
    name: str, there: Sequence[str], mapping: Mapping[str, str], option: str
) -> list[str]:
    if name in mapping:
        return [require_column(mapping[name], there, f"{option}.{name}")]
    return [column for column in (name, f"{CONTEXT}.{name}") if column in there]


def require_column(column: str, there: Sequence[str], option: str) -> str:
    """The column itself, if it is there.

    Raises:
        ValueError: it is not; names the option and the nearest names.
    """
    if column in there:
        return column
    near = difflib.get_close_matches(column, there, n=3)
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    msg = f"{option}: the source has no column '{column}'.{hint} Its columns: {', '.join(there)}"
    raise ValueError(msg)
