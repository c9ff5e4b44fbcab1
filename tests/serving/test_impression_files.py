import json
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.schemas import IMPRESSIONS
from recsys_kedro.serving import impression_files
from recsys_kedro.serving.impression_files import ParquetImpressions, read_impressions
from recsys_kedro.serving.impressions import ShownAnswer
from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)

# A worker: `offer(number)` logs an answer of two products; `wait(answers)` until they are written.
WORKER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from recsys_kedro.serving.impression_files import ParquetImpressions, read_impressions
from recsys_kedro.serving.impressions import ImpressionLog, ShownAnswer
from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem
from recsys_kedro.serving.telemetry import Telemetry

name, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
log = ImpressionLog(ParquetImpressions(folder, rows, 1e9), 10_000, Telemetry())

def offer(number):
    items = [
        RecommendedItem(product_id=f"p{rank}", rank=rank, score=1 / rank, source="ease",
                        reason="", name=None, category=None, price=None)
        for rank in (1, 2)
    ]
    answer = RecommendationAnswer(recommendation_id=f"{name}{number}", user_id="ann", items=items,
                                  model="m", model_version="1")
    log.offer(ShownAnswer(answer, datetime(2024, 6, 1, 12, tzinfo=UTC), 3))

def wait(answers):
    while sum(path.read_bytes().count(b"\\n") for path in folder.glob("journal*.jsonl")) < answers:
        time.sleep(0.01)
"""


def shown(number=0, at=NOON, products=("cup", "pot"), score=None, **more):
    items = [
        RecommendedItem.model_construct(
            product_id=product,
            rank=rank,
            score=1 / rank if score is None else score,
            propensity=0.5,
            source="ease",
        )
        for rank, product in enumerate(products, start=1)
    ]
    told = {"user_id": "ann", "model": "m", "model_version": "7", "latency_ms": 1.5}
    told |= {name: more.pop(name) for name in ("fallback", "from_cache", "variant") if name in more}
    answer = RecommendationAnswer(recommendation_id=f"r{number}", items=items, **told)
    return ShownAnswer(answer, at, history_length=3, **more)


def sink(folder, rows=1_000, seconds=1e9):
    return ParquetImpressions(folder, rows, seconds)


def journals(folder):
    return sorted(folder.glob("journal-*"))


def parquets(folder):
    return sorted(folder.glob("date=*/*.parquet"))


def ids(folder):
    return read_impressions(folder)[c.RECOMMENDATION_ID].unique(maintain_order=True).to_list()


@contextmanager
def worker(script, name, folder, rows=1_000):
    """A process that runs the script to its end or until it is killed."""
    command = [sys.executable, "-c", WORKER + script, name, str(folder), str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_row_per_product_with_all_that_is_known(tmp_path):
    files = sink(tmp_path)
    files.write(
        [
            shown(
                at=NOON + timedelta(microseconds=7),
                session_id="s",
                device_type="mobile",
                variants={"e": "b"},
                fallback="unknown_user",
                from_cache=True,
            )
        ]
    )
    files.close()
    read = read_impressions(tmp_path)
    IMPRESSIONS.validate(read)
    assert read.row(1, named=True) == {
        c.RECOMMENDATION_ID: "r0",
        c.USER_ID: "ann",
        c.TIMESTAMP: NOON + timedelta(microseconds=7),
        c.SESSION_ID: "s",
        c.DEVICE_TYPE: "mobile",
        c.POSITION: 2,
        c.PRODUCT_ID: "pot",
        c.SCORE: 1 / 2,
        c.PROPENSITY: 0.5,
        c.SOURCE: "ease",
        c.MODEL: "m",
        c.MODEL_VERSION: "7",
        c.VARIANTS: [{c.EXPERIMENT: "e", c.VARIANT: "b"}],
        c.FALLBACK: "unknown_user",
        c.FROM_CACHE: True,
        c.LATENCY_MS: 1.5,
        c.HISTORY_LENGTH: 3,
    }


def test_a_journal_reads_as_its_parquet_does(tmp_path):
    files = sink(tmp_path)
    files.write([shown(2), shown(1, NOON + timedelta(hours=13)), shown(0)])
    from_journal = read_impressions(tmp_path)
    IMPRESSIONS.validate(from_journal)
    assert from_journal[c.RECOMMENDATION_ID].to_list() == ["r0", "r0", "r2", "r2", "r1", "r1"]
    assert len(journals(tmp_path)) == 1
    files.close()
    assert journals(tmp_path) == []
    assert [path.parent.name for path in parquets(tmp_path)] == [
        "date=2024-06-01",
        "date=2024-06-02",
    ]
    assert read_impressions(tmp_path).equals(from_journal)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "date=2024-06-01",
        "date=2024-06-02",
    ]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.floats(allow_nan=False, allow_infinity=False),
            st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),
        ),
        max_size=4,
    )
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, answers):
    folder = tmp_path_factory.mktemp("impressions")
    files = sink(folder)
    for number, (text, score, at) in enumerate(answers):
        files.write([shown(number, at, products=[text, "cup"], score=score, session_id=text)])
    for _ in ("journal", "parquet"):
        read = read_impressions(folder).filter(pl.col(c.POSITION) == 1).sort(c.RECOMMENDATION_ID)
        rows = read.select(c.PRODUCT_ID, c.SESSION_ID, c.SCORE, c.TIMESTAMP).rows()
        assert rows == [(text, text, score, at) for text, score, at in answers]
        files.close()


def test_scores_of_any_kind_are_logged(tmp_path):
    files = sink(tmp_path)
    files.write([shown(0, score=np.float32(0.5)), shown(1, score=float("nan"))])
    files.close()
    assert read_impressions(tmp_path)[c.SCORE].to_list() == [0.5, 0.5, None, None]


def test_a_full_journal_becomes_parquet_and_the_next_begins(tmp_path):
    files = sink(tmp_path, rows=4)
    files.write([shown(0)])
    files.tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (1, 0)
    files.write([shown(1)])
    files.tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (0, 1)
    files.write([shown(2)])
    files.tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (1, 1)
    assert ids(tmp_path) == ["r0", "r1", "r2"]
    files.close()


def test_an_old_journal_becomes_parquet(tmp_path):
    files = sink(tmp_path, seconds=1e-9)
    files.write([shown()])
    files.tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (0, 1)


def test_no_impressions_yet(tmp_path):
    assert read_impressions(tmp_path).is_empty()
    IMPRESSIONS.validate(read_impressions(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"elsewhere is not a folder; .*impressions_folder"):
        read_impressions(tmp_path / "elsewhere")


def test_a_killed_worker_loses_nothing_that_was_written(tmp_path):
    script = (
        "for number in range(300): offer(number)\n"
        "wait(300); print('written', flush=True); time.sleep(60)"
    )
    with worker(script, "a", tmp_path) as process:
        assert process.stdout.readline() == "written\n"
        assert len(ids(tmp_path)) == 300
        sink(tmp_path).tend()  # its owner is alive
        assert len(journals(tmp_path)) == 1
        process.kill()
        process.wait()
        assert len(ids(tmp_path)) == 300
        sink(tmp_path).tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (0, 1)
    IMPRESSIONS.validate(read_impressions(tmp_path))
    assert sorted(ids(tmp_path)) == sorted(f"a{number}" for number in range(300))


def test_a_worker_that_ends_by_itself_leaves_parquet(tmp_path):
    with worker("for number in range(300): offer(number)", "a", tmp_path) as process:
        assert process.wait() == 0
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (0, 1)
    assert len(ids(tmp_path)) == 300


def test_workers_share_a_folder_and_a_reader_sees_each_row_once(tmp_path):
    script = (
        "for number in range(40):\n"
        "    for each in range(10): offer(10 * number + each)\n"
        "    time.sleep(0.05)\n"
    )
    seen = 0
    with worker(script, "a", tmp_path, 60) as one, worker(script, "b", tmp_path, 60) as other:
        while None in (one.poll(), other.poll()):
            read = read_impressions(tmp_path)
            assert not read.select(c.RECOMMENDATION_ID, c.POSITION).is_duplicated().any()
            assert read.height >= seen
            seen = read.height
    assert journals(tmp_path) == []
    assert len(parquets(tmp_path)) > 2
    IMPRESSIONS.validate(read_impressions(tmp_path))
    assert sorted(ids(tmp_path)) == sorted(f"{name}{n}" for name in "ab" for n in range(400))


@pytest.mark.parametrize("early", [True, False])
def test_a_journal_that_becomes_parquet_while_it_is_read(tmp_path, monkeypatch, early):
    files = sink(tmp_path)
    files.write([shown(0)])
    read = impression_files._journals

    def read_and_be_overtaken(folder):
        if early:
            files.close()
        yield from read(folder)
        files.close()

    monkeypatch.setattr(impression_files, "_journals", read_and_be_overtaken)
    assert read_impressions(tmp_path).height == 2


def test_a_journal_that_vanishes_is_nobodys_trouble(tmp_path):
    (tmp_path / "journal-1-1.jsonl").symlink_to(tmp_path / "gone")
    sink(tmp_path).tend()
    assert read_impressions(tmp_path).is_empty()


@pytest.mark.parametrize("days_done", [1, 2])
def test_killed_between_the_parquet_files_and_the_removal_of_the_journal(tmp_path, days_done):
    files = sink(tmp_path)
    files.write([shown(0), shown(1, NOON + timedelta(days=1))])
    (journal,) = journals(tmp_path)
    lines = journal.read_bytes()
    files.close()
    journal.write_bytes(lines)
    for path in parquets(tmp_path)[days_done:]:
        path.unlink()
    (tmp_path / "date=2024-06-02" / f".{journal.stem}.parquet.part").write_bytes(b"PAR1")
    assert ids(tmp_path) == ["r0", "r1"]
    assert read_impressions(tmp_path).height == 2 * 2
    sink(tmp_path).tend()
    assert (len(journals(tmp_path)), len(parquets(tmp_path))) == (0, 2)
    assert read_impressions(tmp_path).height == 2 * 2


@pytest.mark.parametrize(
    ("tail", "torn"),
    [
        (b'{"recommendation_id":"torn', 1),
        (b"\0\0\0\0", 1),
        (b'\0\0\0\n{"recommendation_id":"torn', 2),
    ],
)
def test_torn_lines_are_counted_and_the_others_kept(tmp_path, caplog, tail, torn):
    files = sink(tmp_path)
    files.write([shown(0), shown(1)])
    (journal,) = journals(tmp_path)
    lines = journal.read_bytes()
    files.close()
    for path in parquets(tmp_path):
        path.unlink()
    journal.write_bytes(lines + tail)
    assert ids(tmp_path) == ["r0", "r1"]
    other = sink(tmp_path)
    other.tend()
    assert other.torn == torn
    assert f"{journal}: {torn} torn lines" in caplog.text
    assert ids(tmp_path) == ["r0", "r1"]
    assert journals(tmp_path) == []


def test_a_full_disk_loses_and_repeats_nothing(tmp_path):
    # The system refuses to let any file grow beyond the limit, in the middle of a write too.
    script = """
import json, resource
from recsys_kedro.serving import impressions
impressions.RETRY_AFTER_S = 0.01
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
for number in range(200):
    offer(number)
    time.sleep(0.001)
while log.failures < 3: time.sleep(0.01)
problem = log.problem
rows = read_impressions(folder)["recommendation_id"].n_unique()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
wait(200)
log.close()
print(json.dumps([problem, rows, log.dropped]))
"""
    with worker(script, "a", tmp_path) as process:
        problem, while_full, dropped = json.loads(process.stdout.readline())
        assert process.wait() == 0
    assert str(tmp_path / "journal-") in problem
    assert "File too large" in problem
    assert 0 < while_full < 200
    assert dropped == 0
    IMPRESSIONS.validate(read_impressions(tmp_path))
    assert sorted(ids(tmp_path)) == sorted(f"a{number}" for number in range(200))
