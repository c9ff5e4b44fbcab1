import polars as pl
import pytest
import s3fs
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.streams.landed_files import LandedFiles, Offsets

EVENTS = pl.DataFrame({"kafka_offset": [3, 5]})
NONE = EVENTS.clear()


@pytest.fixture
def files(tmp_path):
    return LandedFiles(str(tmp_path / "landed"), "events")


def names(folder, pattern="*/partition=*/*"):
    return sorted(path.name for path in folder.glob(pattern))


def test_nothing_is_landed_where_nothing_is(files):
    assert files.partitions() == []
    assert files.next_offset(0) is None


def test_next_offset_is_one_past_the_highest(files, tmp_path):
    files.add(0, Offsets(3, 5), EVENTS, NONE)
    files.add(0, Offsets(9, 10), EVENTS, NONE)
    files.add(12, Offsets(0, 99), EVENTS, NONE)
    assert files.next_offset(0) == 10 + 1
    assert files.next_offset(12) == 99 + 1
    assert files.partitions() == [0, 12]
    path = "topic=events/partition=0/offsets-00000000000000000003-00000000000000000005.parquet"
    assert pl.read_parquet(tmp_path / "landed" / path, hive_partitioning=False).equals(EVENTS)


def test_names_sort_as_their_offsets():
    offsets = [Offsets(10**n, 10**n) for n in range(19)]
    assert sorted(one.name for one in offsets) == [one.name for one in offsets]


def test_offsets_count_as_landed_where_no_event_was_among_them(files):
    files.add(0, Offsets(0, 4), NONE, EVENTS)
    assert files.next_offset(0) == 4 + 1


def test_dead_letters_lie_beside_the_events(files, tmp_path):
    files.add(0, Offsets(0, 4), EVENTS, NONE)
    files.add(0, Offsets(5, 6), EVENTS, EVENTS)
    assert names(tmp_path / "landed" / "dead_letters") == [Offsets(5, 6).name]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=12))
def test_offsets_are_never_landed_twice(tmp_path_factory, spans):
    files = LandedFiles(str(tmp_path_factory.mktemp("landed")), "events")
    landed = []
    for first, more in spans:
        try:
            files.add(0, Offsets(first, first + more), EVENTS, NONE)
        except FileExistsError:
            assert first <= max(landed)
        else:
            landed += range(first, first + more + 1)
    assert len(landed) == len(set(landed))
    assert files.next_offset(0) == (max(landed) + 1 if landed else None)


def test_files_that_overlap_all_the_same_are_named(files, tmp_path):
    files.add(0, Offsets(0, 4), EVENTS, NONE)
    folder = tmp_path / "landed" / "topic=events" / "partition=0"
    (folder / Offsets(4, 6).name).write_bytes(b"")
    with pytest.raises(ValueError, match=f"{Offsets(0, 4).name} and {Offsets(4, 6).name}"):
        files.next_offset(0)


def test_what_a_crash_left_is_removed_and_what_is_landed_stays(files, tmp_path):
    files.add(0, Offsets(0, 4), EVENTS, EVENTS)
    dead = tmp_path / "landed" / "dead_letters" / "topic=events" / "partition=0"
    (dead / Offsets(5, 7).name).write_bytes(b"")
    (dead / f".{Offsets(8, 9).name}.part").write_bytes(b"")
    events = tmp_path / "landed" / "topic=events" / "partition=0"
    (events / f".{Offsets(5, 7).name}.part").write_bytes(b"")
    files.forget_unfinished(0, 5)
    assert names(tmp_path / "landed") == [Offsets(0, 4).name]
    assert names(tmp_path / "landed" / "dead_letters") == [Offsets(0, 4).name]


def outcome_of_locking(folder):
    try:
        with LandedFiles(folder, "events").locked():
            return "locked"
    except BlockingIOError as error:
        return str(error)


def test_one_process_at_a_time_writes(files, tmp_path):
    folder = str(tmp_path / "landed")
    with files.locked():
        assert "another landing is writing to" in outcome_of_locking(folder)
    assert outcome_of_locking(folder) == "locked"


def test_object_store(bucket):
    files = LandedFiles(f"s3://{bucket}/landed", "events")
    with files.locked():
        assert files.next_offset(0) is None
        files.add(0, Offsets(0, 4), EVENTS, EVENTS)
        assert files.next_offset(0) == 4 + 1
        assert files.partitions() == [0]
        with pytest.raises(FileExistsError):
            files.add(0, Offsets(4, 9), EVENTS, NONE)
        files.forget_unfinished(0, 0)
    assert not s3fs.S3FileSystem().glob(f"{bucket}/landed/dead_letters/**/*.parquet")
    path = f"s3://{bucket}/landed/topic=events/partition=0/{Offsets(0, 4).name}"
    with s3fs.S3FileSystem().open(path) as file:
        assert pl.read_parquet(file).equals(EVENTS)
