import sys
import traceback
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog, DatasetError
from psycopg.sql import SQL, Identifier, Literal
from servers.postgres import PASSWORD

from recsys_kedro.datasets import postgres_copy
from recsys_kedro.datasets.postgres import PostgresTable

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def database(postgres):
    """The name of a database of this file."""
    return postgres.new_database("datasets")


@pytest.fixture
def run(postgres, database):
    """Runs a statement in the database."""
    return lambda statement, *bound: postgres.run(database, statement, *bound)


@pytest.fixture
def table(postgres, database, tmp_path):
    """Makes datasets of the database; with ``updated_at`` they have a cache."""

    def make(name, key="id", **options):
        if "updated_at" in options:
            options.setdefault("cache", str(tmp_path / "made" / "cache.parquet"))
        credentials = {"url": postgres.url(database)}
        return PostgresTable(table=name, key=key, **{"credentials": credentials} | options)

    return make


@pytest.fixture
def changing(run):
    """A table of three rows, changed one minute after the other."""
    run("DROP TABLE IF EXISTS changing")
    run("CREATE TABLE changing (id text PRIMARY KEY, value int, updated_at timestamptz)")
    for place, id_ in enumerate("abc"):
        run("INSERT INTO changing VALUES (%s, 1, %s)", id_, START + place * MINUTE)
    return "changing"


@pytest.fixture
def follow(table, changing):
    """The table ``changing``, read by what has changed, without an overlap."""

    def make(**options):
        options = {"updated_at": "updated_at", "overlap_minutes": 0} | options
        return table(changing, **options)

    return make


def values(dataset):
    return dict(dataset.load().select("id", "value").iter_rows())


def test_every_type_keeps_its_kind(run, table):
    run(
        """CREATE TABLE kinds (id text PRIMARY KEY, price numeric(10, 2), stock int, big bigint,
        weight real, sold boolean, day date, local timestamp, moment timestamptz, about jsonb,
        tags text[], code uuid)"""
    )
    run(
        """INSERT INTO kinds VALUES ('007', 2.50, -3, 9007199254740993, 0.5, true, '2024-02-29',
        '2024-01-01 10:00:00.5', '2024-01-01 10:00+02', '{"a": "b, c"}', '{x,y}',
        '00000000-0000-0000-0000-000000000001')"""
    )
    run("INSERT INTO kinds (id) VALUES ('')")
    empty, full = table("kinds").load().rows(named=True)
    assert empty == dict.fromkeys(full) | {"source_row": 1, "id": ""}
    assert full == {
        "source_row": 2,
        "id": "007",
        "price": 2.5,
        "stock": -3,
        "big": 2**53 + 1,
        "weight": 0.5,
        "sold": True,
        "day": date(2024, 2, 29),
        "local": datetime(2024, 1, 1, 10, 0, 0, 500_000),
        "moment": datetime(2024, 1, 1, 8, tzinfo=UTC),
        "about": '{"a": "b, c"}',
        "tags": "{x,y}",
        "code": "00000000-0000-0000-0000-000000000001",
    }


def test_table_without_rows_has_its_columns(run, table):
    run("CREATE TABLE nothing (id text, price numeric, at timestamptz)")
    assert table("nothing").load().schema == {
        "source_row": pl.Int64,
        "id": pl.String,
        "price": pl.Float64,
        "at": pl.Datetime("us", "UTC"),
    }


STORABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.none() | STORABLE, max_size=8), at_once=st.integers(1, 40))
def test_any_text_comes_as_it_is(run, table, rows, at_once):
    run("DROP TABLE IF EXISTS texts")
    run("CREATE TABLE texts (id int, value text)")
    numbers = list(range(len(rows)))
    run("INSERT INTO texts SELECT * FROM unnest(%s::int[], %s::text[])", numbers, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_copy, "PARSED_AT_ONCE", at_once)
        assert table("texts").load()["value"].to_list() == rows


def test_only_named_columns_and_the_key_are_read(run, table):
    run("CREATE TABLE wide (id int, email text, segment text)")
    assert table("wide", columns=["segment"]).load().columns == ["source_row", "id", "segment"]


def test_schema_is_named_before_a_dot(run, table):
    run("CREATE SCHEMA shop")
    run("CREATE TABLE shop.there (id int)")
    run("INSERT INTO shop.there VALUES (5)")
    assert table("shop.there").load()["id"].to_list() == [5]


def test_hostile_names_and_values_are_only_names_and_values(run, table):
    run("CREATE TABLE victim (id int)")
    hostile = "x\"; DROP TABLE victim; --'%s"
    run(SQL("CREATE TABLE {0} ({0} text, at timestamptz)").format(Identifier(hostile)))
    insert = SQL("INSERT INTO {} VALUES ({}, now())")
    run(insert.format(Identifier(hostile), Literal(hostile)))
    dataset = table(hostile, key=hostile, updated_at="at")
    for _ in ("in full", "what has changed"):
        assert dataset.load()[hostile].to_list() == [hostile]
    assert table("victim").load().is_empty()
    with pytest.raises(DatasetError, match="victim"):
        table('victim"; DROP TABLE victim; --').load()
    assert table("victim").load().is_empty()


def test_only_changed_rows_are_read(run, follow):
    assert values(follow()) == {"a": 1, "b": 1, "c": 1}
    run("UPDATE changing SET value = 2")  # without saying so
    run("UPDATE changing SET value = 3, updated_at = %s WHERE id = 'b'", START + 5 * MINUTE)
    assert values(follow()) == {"a": 1, "b": 3, "c": 2}  # c: the last change may have company


def test_a_change_at_the_last_time_that_was_seen_is_not_missed(run, follow):
    follow().load()
    run("INSERT INTO changing VALUES ('late', 1, %s)", START + 2 * MINUTE)
    assert "late" in values(follow())


@pytest.mark.parametrize(("minutes", "seen"), [(3, True), (1, False)])
def test_a_long_transaction_is_seen_within_the_overlap(run, follow, minutes, seen):
    follow().load()
    run("INSERT INTO changing VALUES ('late', 1, %s)", START)  # two minutes before the last
    assert ("late" in values(follow(overlap_minutes=minutes))) is seen


def test_row_that_tells_no_time_is_read_each_time(run, follow):
    run("INSERT INTO changing VALUES ('timeless', 1, NULL)")
    follow().load()
    run("UPDATE changing SET value = 2 WHERE id = 'timeless'")
    assert values(follow())["timeless"] == 2


def test_change_in_the_future_hides_none_of_the_present(run, follow):
    run("UPDATE changing SET updated_at = '2999-01-01' WHERE id = 'a'")
    follow().load()
    run("UPDATE changing SET value = 2, updated_at = now() WHERE id = 'b'")
    assert values(follow())["b"] == 2


def test_deleted_rows_go_with_the_next_full_read(run, follow):
    every_third = follow(full_refresh_every=3)
    every_third.load()
    run("DELETE FROM changing WHERE id = 'a'")
    assert [len(values(every_third)) for _ in range(6)] == [3, 3, 2, 2, 2, 2]
    run("DELETE FROM changing WHERE id = 'b'")
    assert len(values(follow(full_refresh_every=1))) == 1


def test_local_times_can_tell_changes(run, follow):
    run("ALTER TABLE changing ALTER updated_at TYPE timestamp")
    follow().load()
    run("UPDATE changing SET value = 2, updated_at = %s WHERE id = 'b'", datetime(2024, 2, 1))
    assert values(follow())["b"] == 2


def test_new_column_or_another_table_is_read_in_full(run, follow, table):
    follow().load()
    run("ALTER TABLE changing ADD colour text DEFAULT 'red'")
    assert follow().load()["colour"].to_list() == ["red"] * 3
    run("CREATE TABLE other (LIKE changing)")
    assert table("other", updated_at="updated_at").load().is_empty()


def test_state_is_kept_on_an_object_store(run, follow, bucket):
    dataset = follow(cache=f"s3://{bucket}/shop/changing.parquet")
    dataset.load()
    run("UPDATE changing SET value = 2")
    assert values(dataset) == {"a": 1, "b": 1, "c": 2}


CHANGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=5)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=st.lists(CHANGES, min_size=1, max_size=4))
def test_what_has_changed_adds_up_to_the_table(run, table, tmp_path, rounds):
    (tmp_path / "made" / "cache.parquet").unlink(missing_ok=True)
    run("DROP TABLE IF EXISTS growing")
    run("CREATE TABLE growing (id text PRIMARY KEY, value int, updated_at timestamptz)")
    for changes in rounds:
        for id_, value in changes:
            run(
                """INSERT INTO growing VALUES (%s, %s, now()) ON CONFLICT (id)
                DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at""",
                id_,
                value,
            )
        loaded = table("growing", updated_at="updated_at", full_refresh_every=100).load()
        assert loaded.equals(table("growing").load())


def message(dataset):
    """The error of a load; nowhere in it, nor in what caused it, is the password."""
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value)) + repr(dataset)
    assert "planted" not in str(caught.value)
    return str(caught.value)


def test_server_that_is_down_is_named(table, postgres):
    url = postgres.url("datasets").replace(f":{postgres.port}/", ":1/")
    text = message(table("products", credentials={"url": url}))
    assert f"'products' from PostgreSQL at {postgres.host}:1/datasets" in text


def test_wrong_password(table, postgres):
    url = postgres.url("datasets", password=f"not {PASSWORD}")
    text = message(table("products", credentials={"url": url}))
    assert "password authentication failed" in text


def test_no_such_database_table_or_column(table, postgres, changing):
    elsewhere = {"url": postgres.url("elsewhere")}
    assert 'database "elsewhere" does not exist' in message(table("t", credentials=elsewhere))
    assert 'relation "nowhere" does not exist' in message(table("nowhere"))
    text = message(table(changing, key="sku"))
    assert text.endswith("has no column 'sku', only id, value, updated_at")
    assert "no column 'price'" in message(table(changing, columns=["price"]))


def test_table_that_may_not_be_read(table, postgres, run, changing):
    run("CREATE ROLE stranger LOGIN PASSWORD 'planted'")
    url = postgres.url("datasets", user="stranger", password="planted")
    text = message(table(changing, credentials={"url": url}))
    assert "permission denied for table changing" in text


@pytest.mark.parametrize("url", [None, ""])
def test_missing_address_says_where_it_is_set(table, url):
    assert "RECSYS_POSTGRES_URL" in message(table("products", credentials={"url": url}))


@pytest.mark.parametrize(
    "url", [f"postgresql://me:{PASSWORD}@host/db", "postgresql://planted@:x y"]
)
def test_address_that_cannot_be_read_is_not_quoted(table, url):
    assert "special characters %-escaped" in message(table("products", credentials={"url": url}))


def test_column_that_is_no_key_or_no_time(run, table):
    run("CREATE TABLE loose (id text, at timestamptz)")
    run("INSERT INTO loose VALUES ('x', now()), ('x', now()), ('y', now())")
    assert table("loose").load().height == 3
    assert "'id' is no key: 2 rows" in message(table("loose", updated_at="at"))
    assert "values are not times" in message(table("loose", key="at", updated_at="id"))


def test_time_that_cannot_be_held_is_not_lost(run, table):
    run("CREATE TABLE endless (id text, at timestamptz)")
    run("INSERT INTO endless VALUES ('x', 'infinity')")
    assert "'endless' has a value that cannot be held" in message(table("endless"))


def test_without_the_extra_it_says_which(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatasetError, match=r"pip install 'recsys_kedro\[postgres\]'"):
        table("products").load()


def test_half_of_what_following_needs_is_refused(table):
    with pytest.raises(DatasetError, match="updated_at and cache go together"):
        table("products", updated_at="updated_at", cache=None)


def test_works_as_a_catalog_entry(postgres, database, changing):
    entry = {
        "type": "recsys_kedro.datasets.postgres.PostgresTable",
        "table": changing,
        "key": "id",
        "credentials": "shop",
    }
    credentials = {"shop": {"url": postgres.url(database)}}
    catalog = DataCatalog.from_config({"rows": entry}, credentials)
    assert catalog.load("rows").height == 3
    with pytest.raises(DatasetError, match="read only"):
        catalog.save("rows", pl.DataFrame())
