import os
import signal
import subprocess
import sys

import polars as pl
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.validation.exceptions import DataValidationError

from recsys_kedro import columns as c
from recsys_kedro.datasets import streamed_table
from recsys_kedro.datasets.streamed_table import EachPart, StreamedTable

SCHEMA = "recsys_kedro.schemas.REJECTED_EVENTS"
# Writes two parts, tells so, and then never gives the third.
WRITES_FOR_EVER = """
import sys, time
import polars as pl
from recsys_kedro.datasets.streamed_table import StreamedTable

def parts():
    for row in range(3):
        yield pl.DataFrame({"x": [row] * 100_000})
    print("at work", flush=True)
    time.sleep(600)

StreamedTable(filepath=sys.argv[1]).save(parts())
"""


def frames(*rows):
    return [
        pl.DataFrame({c.SOURCE_ROW: [row], c.REASON: [f"no_user: {row}"], "row": ["{}"]})
        for row in rows
    ]


@pytest.fixture
def table(tmp_path):
    return StreamedTable(filepath=str(tmp_path / "made" / "table.parquet"))


def test_parts_become_one_table(table):
    table.save(iter(frames(1, 2, 3)))
    assert table.load().equals(pl.concat(frames(1, 2, 3)))
    assert table.load()[c.SOURCE_ROW].to_list() == [1, 2, 3]


def test_a_frame_is_one_part(table):
    table.save(frames(1)[0])
    assert table.load().equals(frames(1)[0])


def test_types_of_a_frame_come_back(table):
    typed = pl.DataFrame(
        {"t": [0], "s": [None], "f": [1.5], "l": [["a"]]},
        schema={
            "t": pl.Datetime("us", "UTC"), "s": pl.String, "f": pl.Float64, "l": pl.List(pl.String),
        },
    )  # fmt: skip
    table.save([typed, typed.clear(), typed])
    assert table.load().equals(pl.concat([typed, typed]))
    assert table.load().schema == typed.schema


def test_row_groups_are_bounded(table, monkeypatch, tmp_path):
    monkeypatch.setattr(streamed_table, "ROWS_PER_GROUP", 2)
    table.save([pl.DataFrame({"x": range(5)})])
    groups = pl.scan_parquet(tmp_path / "made" / "table.parquet")
    assert groups.collect()["x"].to_list() == [0, 1, 2, 3, 4]
    metadata = streamed_table.pq.read_metadata(tmp_path / "made" / "table.parquet")
    assert [metadata.row_group(group).num_rows for group in range(3)] == [2, 2, 1]


def test_no_part_at_all_is_an_error_that_leaves_the_old_table(table):
    table.save(frames(1))
    with pytest.raises(DatasetError, match="nothing to write"):
        table.save(iter([]))
    assert table.load().equals(frames(1)[0])


def test_a_part_that_fails_leaves_the_old_table(table):
    def broken():
        yield from frames(2, 3)
        raise ValueError("no more")

    table.save(frames(1))
    with pytest.raises(DatasetError, match="no more"):
        table.save(broken())
    assert table.load()[c.SOURCE_ROW].to_list() == [1]


def test_a_process_that_is_killed_leaves_no_half_table(tmp_path):
    path = tmp_path / "table.parquet"
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists()
    table = StreamedTable(filepath=str(path))
    table.save(frames(1))
    assert [left.name for left in tmp_path.iterdir()] == ["table.parquet"]


def test_a_table_on_an_object_store(bucket):
    table = StreamedTable(filepath=f"s3://{bucket}/deep/table.parquet")
    assert not table.exists()
    table.save(iter(frames(1, 2)))
    assert table.exists()
    assert table.load()[c.SOURCE_ROW].to_list() == [1, 2]

    def broken():
        yield from frames(3, 4)
        raise ValueError("no more")

    with pytest.raises(DatasetError, match="no more"):
        table.save(broken())
    assert table.load()[c.SOURCE_ROW].to_list() == [1, 2]


@pytest.fixture
def catalog(tmp_path):
    entry = {
        "type": "recsys_kedro.datasets.streamed_table.StreamedTable",
        "filepath": str(tmp_path / "table.parquet"),
        "validator": {
            "class": "recsys_kedro.datasets.streamed_table.EachPart",
            "options": {"schema": SCHEMA},
        },
    }
    return DataCatalog.from_config({"rejected_events": entry})


def test_every_part_is_checked_as_it_is_written(catalog, tmp_path):
    bad = frames(2)[0].with_columns(pl.lit(None, pl.String).alias(c.REASON))
    with pytest.raises(DatasetError, match=r"rejected_events: Pandera [\s\S]*reason: not_nullable"):
        catalog.save("rejected_events", iter([*frames(1), bad]))
    assert not (tmp_path / "table.parquet").exists()
    catalog.save("rejected_events", iter(frames(1, 2)))
    assert catalog.load("rejected_events").height == 2


def test_a_frame_is_checked_on_save_and_on_load(catalog, tmp_path):
    wrong = frames(1)[0].drop("row")
    with pytest.raises(DataValidationError, match="row"):
        catalog.save("rejected_events", wrong)
    wrong.write_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataValidationError, match="row"):
        catalog.load("rejected_events")


def test_parts_are_checked_one_by_one():
    taken = []

    def parts():
        for frame in frames(1, 2):
            taken.append(frame)
            yield frame

    checked = EachPart(SCHEMA).validate(parts())
    assert not taken
    next(checked)
    assert len(taken) == 1
