"""What a query of PostgreSQL gives, as a Polars frame: COPY out as CSV, parsed by Polars.

``psycopg`` comes with the extra ``postgres`` and is imported when a table is read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import polars as pl
from kedro.io import DatasetError

from recsys_kedro.schemas import UTC_TIME

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Identifier

CONNECT_TIMEOUT_S = 10
PARSED_AT_ONCE = 2**26  # bytes of text that are held beside the table
LOCAL_TIME = pl.Datetime("us")
# By the numbers of PostgreSQL's catalog; every other type arrives as its text.
TYPES: dict[int, pl.DataType] = {
    16: pl.Boolean(),
    20: pl.Int64(),
    21: pl.Int64(),
    23: pl.Int64(),
    700: pl.Float64(),
    701: pl.Float64(),
    1082: pl.Date(),
    1114: LOCAL_TIME,
    1184: UTC_TIME,
    1700: pl.Float64(),
}
PARSED_BY_CSV = (pl.Int64, pl.Float64, pl.String)


@contextmanager
def reading(url: str | None, table: str) -> Iterator[tuple["Connection", str]]:
    """A connection that only reads, in one transaction, and ``host:port/database``.

    Args:
        url: ``postgresql://…``, or as libpq takes it otherwise.
        table: for messages.

    Raises:
        DatasetError: the extra or the URL is missing, or PostgreSQL reports an error. It names
            the server, the database and the table, never the password.
    """
    try:
        import psycopg
    except ImportError as error:
        msg = f"'{table}' is in PostgreSQL: pip install 'recsys_kedro[postgres]'"
        raise DatasetError(msg) from error
    parameters = _parameters(url, table)
    named = {"host": "localhost", "port": 5432, "dbname": parameters.get("user", "")} | parameters
    address = "{host}:{port}/{dbname}".format_map(named)
    try:
        with psycopg.connect(**parameters) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SET LOCAL TIME ZONE 'UTC'")
            connection.execute("SET LOCAL datestyle TO 'ISO'")
            yield connection, address
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        msg = f"cannot read '{table}' from PostgreSQL at {address}: {reason}"
        raise DatasetError(msg) from error


def _parameters(url: str | None, table: str) -> dict[str, Any]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    if not url:
        msg = (
            f"'{table}': the address of PostgreSQL is missing. Set credentials.url of the dataset; "
            f"in the environment 'production' it is RECSYS_POSTGRES_URL"
        )
        raise DatasetError(msg)
    given = {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8"}
    try:
        return given | conninfo_to_dict(url)
    except ProgrammingError:  # quotes the URL, or a part of the password
        msg = (
            f"'{table}': the address of PostgreSQL cannot be read. It is "
            f"postgresql://user:password@host:port/database, special characters %-escaped"
        )
        raise DatasetError(msg) from None


def column_types(connection: "Connection", table: str) -> dict[str, pl.DataType]:
    """The columns of a table in their order, as :func:`copy_rows` will give them."""
    from psycopg.sql import SQL

    nothing = connection.execute(SQL("SELECT * FROM {} LIMIT 0").format(_identifier(table)))
    described = nothing.description or []
    return {column.name: TYPES.get(column.type_code, pl.String()) for column in described}


def server_time(connection: "Connection") -> datetime:
    """The server's clock at the start of the transaction, UTC."""
    now: datetime = connection.execute("SELECT now()").fetchall()[0][0]
    return now.astimezone(UTC)


def copy_rows(
    connection: "Connection",
    table: str,
    types: Mapping[str, pl.DataType],
    changed: tuple[str, datetime] | None = None,
) -> pl.DataFrame:
    """The columns ``types`` of a table.

    Args:
        connection: see :func:`reading`.
        table: its name, or ``schema.name``.
        types: of the columns, see :func:`column_types`.
        changed: only rows where this column is at or after this time, or empty.

    Raises:
        DatasetError: a value that Polars does not have, such as the time ``infinity``.
    """
    from psycopg.sql import SQL, Identifier, Literal

    columns = SQL(", ").join(map(Identifier, types))
    query = SQL("SELECT {} FROM {}").format(columns, _identifier(table))
    if changed is not None:  # COPY binds nothing: the time is quoted here
        column, since = changed
        since_then = SQL(" WHERE {0} >= {1} OR {0} IS NULL")
        query += since_then.format(Identifier(column), Literal(since))
    parts, text = [pl.DataFrame(schema=types)], bytearray()
    command = SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)
    with connection.cursor() as cursor, cursor.copy(command) as rows:
        for row in rows:
            text += row
            if len(text) >= PARSED_AT_ONCE:
                parts.append(_parsed(text, table, types))
                text = bytearray()
    if text:
        parts.append(_parsed(text, table, types))
    return pl.concat(parts)


def _identifier(table: str) -> "Identifier":
    from psycopg.sql import Identifier

    return Identifier(*table.split(".", 1))


def _parsed(text: bytearray, table: str, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    read_as = {
        name: dtype if isinstance(dtype, PARSED_BY_CSV) else pl.String()
        for name, dtype in types.items()
    }
    try:
        rows = pl.read_csv(BytesIO(text), has_header=False, schema=read_as)
        return rows.select(_typed(name, dtype) for name, dtype in types.items())
    except pl.exceptions.PolarsError as error:
        msg = f"'{table}' has a value that cannot be held: {str(error).splitlines()[0]}"
        raise DatasetError(msg) from error


def _typed(name: str, dtype: pl.DataType) -> pl.Expr:
    """The column, out of PostgreSQL's text of its type."""
    column = pl.col(name)
    if dtype == pl.Boolean:
        return column == "t"
    if dtype == pl.Date:
        return column.str.to_date("%Y-%m-%d")
    if dtype == LOCAL_TIME:
        return column.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
    if dtype == UTC_TIME:
        local = column.str.strip_suffix("+00").str.to_datetime(
            "%Y-%m-%d %H:%M:%S%.f", time_unit="us"
        )
        return local.dt.replace_time_zone("UTC")
    return column
