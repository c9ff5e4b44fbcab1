import gzip

import boto3
import polars as pl
import pytest
from kedro.io.core import DatasetError

from recsys_kedro import columns as c
from recsys_kedro.datasets import parquet_blocks
from recsys_kedro.datasets.tables import TableDataset


def test_csv_values_stay_text_so_that_ids_keep_their_zeros(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,price\n007,2.50\n,1\n")

    table = TableDataset(filepath=str(path)).load()

    assert table.to_dicts() == [
        {c.SOURCE_ROW: 1, "user": "007", "price": "2.50"},
        {c.SOURCE_ROW: 2, "user": None, "price": "1"},
    ]
    assert table.schema[c.SOURCE_ROW] == pl.Int64


def test_many_files_count_on_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.csv").write_text("user,extra\nu3,x\n")
    (tmp_path / "a.csv").write_text("user\nu1\nu2\n")

    table = TableDataset(filepath=str(tmp_path / "*.csv")).load()

    assert table["user"].to_list() == ["u1", "u2", "u3"]
    assert table[c.SOURCE_ROW].to_list() == [1, 2, 3]
    assert table["extra"].to_list() == [None, None, "x"]


def test_load_args_reach_the_reader(tmp_path):
    path = tmp_path / "no_header.csv"
    path.write_text("u1;p1\n")
    load_args = {"separator": ";", "has_header": False, "new_columns": ["user", "product"]}

    table = TableDataset(filepath=str(path), load_args=load_args).load()

    assert table.row(0, named=True) == {c.SOURCE_ROW: 1, "user": "u1", "product": "p1"}


def test_parquet_keeps_its_types_and_gets_positions_of_this_source(tmp_path):
    path = tmp_path / "events.parquet"
    pl.DataFrame({"user": [17850], c.SOURCE_ROW: [99]}).write_parquet(path)

    table = TableDataset(filepath=str(path)).load()

    assert table.row(0, named=True) == {c.SOURCE_ROW: 1, "user": 17850}


def test_json_lines_keep_nested_context_and_carry_malformed_lines_on(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"user_id": "u1", "context": {"price": 2.5}}\n'
        "\n"
        '{"user_id": "u2", \n'
        '"text"\n'
        '{"user_id": "u3", "context": {"category": "toys"}}\n'
    )

    table = TableDataset(filepath=str(path)).load()

    assert table[c.SOURCE_ROW].to_list() == [1, 3, 4, 5]  # line 2 is blank
    assert table["user_id"].to_list() == ["u1", None, None, "u3"]
    assert table[c.MALFORMED].to_list() == [None, '{"user_id": "u2", ', '"text"', None]
    assert table["context"].struct.field("price").to_list() == [2.5, None, None, None]


def test_json_lines_that_are_all_malformed_are_not_lost(tmp_path):
    path = tmp_path / "events.json"
    path.write_text("{\n}\n")

    assert TableDataset(filepath=str(path)).load()[c.MALFORMED].to_list() == ["{", "}"]


def test_json_values_of_changing_type_become_text(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"price": 1}\n{"price": "cheap"}\n')

    assert TableDataset(filepath=str(path)).load()["price"].to_list() == ["1", "cheap"]


def test_compressed_json_lines(tmp_path):
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"user_id": "u1"}\n'))

    assert TableDataset(filepath=str(path)).load()["user_id"].to_list() == ["u1"]


def test_bytes_that_are_no_utf8_do_not_fail_the_load(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"user_id": "u1"}\n\xff\xfe\n')

    assert TableDataset(filepath=str(path)).load()[c.MALFORMED].to_list() == [None, "\ufffd\ufffd"]


def test_json_array_is_refused_with_the_path(tmp_path):
    path = tmp_path / "events.json"
    path.write_text('[{"user_id": "u1"}]')

    with pytest.raises(DatasetError, match=r"events\.json' holds one JSON array"):
        TableDataset(filepath=str(path)).load()


def test_optional_table_that_is_not_there_is_empty(tmp_path):
    dataset = TableDataset(filepath=str(tmp_path / "products.csv"), optional=True)

    assert dataset.load().schema == {c.SOURCE_ROW: pl.Int64}
    assert dataset.exists()


def test_missing_file_is_named(tmp_path):
    dataset = TableDataset(filepath=str(tmp_path / "events.csv"))

    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"no file at '.*events\.csv'"):
        dataset.load()


def test_unreadable_file_is_named(tmp_path):
    path = tmp_path / "events.parquet"
    path.write_text("no parquet")

    with pytest.raises(DatasetError, match=r"cannot read '.*events\.parquet' as parquet"):
        TableDataset(filepath=str(path)).load()


def test_unknown_suffix_asks_for_the_format(tmp_path):
    with pytest.raises(DatasetError, match="Set file_format"):
        TableDataset(filepath=str(tmp_path / "events.txt"))


def test_raw_tables_are_not_written(tmp_path):
    with pytest.raises(DatasetError, match="read only"):
        TableDataset(filepath=str(tmp_path / "events.csv")).save(pl.DataFrame())


def test_files_that_others_add_to_an_object_store_are_seen(bucket):
    dataset = TableDataset(filepath=f"s3://{bucket}/events/day=*/*.csv")
    store = boto3.resource("s3").Bucket(bucket)
    for day, rows in (("1", 1), ("2", 2)):
        store.put_object(Key=f"events/day={day}/part.csv", Body=f"user\nu{day}\n")
        assert dataset.load()["user"].to_list() == ["u1", "u2"][:rows]


def write_unlike_files(folder):
    """Three Parquet files: of two columns, of one and another type, and without a row."""
    first = {"user": [17850, None, 3], "extra": ["x", "y", None]}
    pl.DataFrame(first).write_parquet(folder / "a.parquet")
    pl.DataFrame({"user": ["u1", "u2"]}).write_parquet(folder / "b.parquet")
    pl.DataFrame({c.SOURCE_ROW: [7], "user": [1]}).clear().write_parquet(folder / "c.parquet")


@pytest.mark.parametrize("load_args", [None, {"low_memory": True}])
@pytest.mark.parametrize("rows", [1, 2, 1_000])
def test_blocks_are_the_table_in_pieces(tmp_path, monkeypatch, rows, load_args):
    monkeypatch.setattr(parquet_blocks, "ROWS_AT_ONCE", rows)
    write_unlike_files(tmp_path)
    path = str(tmp_path / "*.parquet")
    whole = TableDataset(filepath=path).load()
    blocks = TableDataset(filepath=path, in_blocks=True, load_args=load_args).load()
    for _ in range(2):
        assert pl.concat(blocks).equals(whole)
        assert {block.schema == whole.schema for block in blocks} == {True}
    assert whole[c.SOURCE_ROW].to_list() == [1, 2, 3, 4, 5]
    assert whole["user"].to_list() == ["17850", None, "3", "u1", "u2"]


def test_a_large_file_comes_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_blocks, "ROWS_AT_ONCE", 100)
    path = tmp_path / "events.parquet"
    pl.DataFrame({"user": range(1_000)}).write_parquet(path, row_group_size=300)
    blocks = list(TableDataset(filepath=str(path), in_blocks=True).load())
    assert max(block.height for block in blocks) <= 100
    assert pl.concat(blocks)["user"].to_list() == list(range(1_000))


def test_blocks_of_empty_files_are_one_that_is_empty(tmp_path):
    pl.DataFrame({"user": ["a"]}).clear().write_parquet(tmp_path / "a.parquet")
    (block,) = TableDataset(filepath=str(tmp_path / "*.parquet"), in_blocks=True).load()
    assert block.schema == {c.SOURCE_ROW: pl.Int64, "user": pl.String}
    assert block.is_empty()


def test_formats_that_have_no_blocks_are_read_whole(tmp_path):
    (tmp_path / "events.csv").write_text("user\nu1\n")
    table = TableDataset(filepath=str(tmp_path / "events.csv"), in_blocks=True).load()
    assert table["user"].to_list() == ["u1"]


def test_unreadable_file_among_blocks_is_named(tmp_path):
    write_unlike_files(tmp_path)
    (tmp_path / "d.parquet").write_text("no parquet")
    blocks = TableDataset(filepath=str(tmp_path / "*.parquet"), in_blocks=True).load()
    with pytest.raises(DatasetError, match=r"cannot read '.*d\.parquet' as parquet"):
        list(blocks)


def test_blocks_from_an_object_store(bucket, tmp_path):
    write_unlike_files(tmp_path)
    store = boto3.resource("s3").Bucket(bucket)
    for path in tmp_path.iterdir():
        store.upload_file(str(path), f"in_blocks/{path.name}")
    blocks = TableDataset(filepath=f"s3://{bucket}/in_blocks/*.parquet", in_blocks=True).load()
    whole = TableDataset(filepath=str(tmp_path / "*.parquet")).load()
    assert pl.concat(blocks).equals(whole)
