import threading
import time
from datetime import UTC, datetime

import pytest

from recsys_kedro.serving import impressions
from recsys_kedro.serving.impression_files import ParquetImpressions, read_impressions
from recsys_kedro.serving.impressions import ImpressionLog, ShownAnswer
from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem
from recsys_kedro.serving.telemetry import Telemetry

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


def shown(number, products=2):
    items = [
        RecommendedItem(
            product_id=f"p{rank}",
            rank=rank,
            score=1 / rank,
            source="history",
            reason="You had it",
            name=None,
            category=None,
            price=None,
        )
        for rank in range(1, products + 1)
    ]
    answer = RecommendationAnswer(
        recommendation_id=f"r{number}", user_id="ann", items=items, model="m", model_version="1"
    )
    return ShownAnswer(answer, NOW, history_length=3)


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)


class Sink:
    """Keeps what it gets; raises what it is told to, once each."""

    def __init__(self, *errors):
        self.errors, self.written, self.tended, self.closed = list(errors), [], 0, False
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()

    def write(self, shown):
        self.busy.set()
        self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.written += [each.answer.recommendation_id for each in shown]

    def tend(self):
        self.tended += 1

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(impressions, "RETRY_AFTER_S", 0.01)


@pytest.fixture
def start():
    """Starts a log; closes it in the end."""
    logs = []

    def start(sink, capacity=100):
        logs.append((ImpressionLog(sink, capacity, telemetry := Telemetry()), sink))
        return logs[-1][0], telemetry

    yield start
    for log, sink in logs:
        if isinstance(sink, Sink):
            sink.open.set()
        log.close()


def metric(telemetry, name):
    lines = telemetry.exposition().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_answers_are_written_in_order_without_a_close(start):
    log, _ = start(sink := Sink())
    for number in range(50):
        log.offer(shown(number))
    until(lambda: len(sink.written) == 50)
    assert sink.written == [f"r{number}" for number in range(50)]
    assert (log.dropped, log.failures, log.problem) == (0, 0, None)


def test_an_answer_without_products_is_no_impression(start):
    log, _ = start(sink := Sink())
    log.offer(shown(0, products=0))
    log.offer(shown(1))
    log.close()
    assert sink.written == ["r1"]


def test_a_full_queue_drops_and_counts(start):
    sink = Sink()
    sink.open.clear()
    log, telemetry = start(sink, capacity=2)
    log.offer(shown(0))
    until(sink.busy.is_set)  # the thread has it in hand
    for number in range(1, 6):
        log.offer(shown(number))
    assert log.dropped == 5 - 2
    assert metric(telemetry, "recsys_impressions_dropped_total") == 5 - 2
    sink.open.set()
    log.close()
    assert sink.written == ["r0", "r1", "r2"]
    assert metric(telemetry, "recsys_impressions_queued") == 0


def test_what_waits_is_seen_with_what_is_in_hand(start):
    log, telemetry = start(sink := Sink())
    sink.open.clear()
    log.offer(shown(0))
    until(sink.busy.is_set)
    log.offer(shown(1))
    sink.errors = [OSError("disk full")] * 2_000
    sink.open.set()
    until(lambda: metric(telemetry, "recsys_impressions_queued") == 2)
    sink.errors.clear()
    until(lambda: metric(telemetry, "recsys_impressions_queued") == 0)


def test_a_failing_sink_is_tried_again_and_complained_of_once(start, caplog):
    log, telemetry = start(sink := Sink(*(OSError("disk full") for _ in range(3))))
    log.offer(shown(0))
    until(lambda: sink.written == ["r0"])
    until(lambda: log.problem is None)
    assert (log.failures, log.dropped) == (3, 0)
    assert metric(telemetry, "recsys_impressions_failures_total") == 3
    complaints = [record for record in caplog.records if "cannot be logged" in record.message]
    assert len(complaints) == 1
    assert "disk full" in complaints[0].message


def test_the_problem_is_told_while_it_lasts(start):
    sink = Sink(*(OSError(f"disk full {number}") for number in range(2_000)))
    log, _ = start(sink)
    log.offer(shown(0))
    until(lambda: log.problem)
    assert log.problem.startswith("disk full")


def test_what_can_never_be_written_costs_only_itself(start):
    log, _ = start(sink := Sink(TypeError("not JSON")))
    log.offer(shown(0))
    until(lambda: log.dropped == 1)
    log.offer(shown(1))
    until(lambda: sink.written == ["r1"])


def test_the_sink_is_tended_while_nothing_is_shown(start, monkeypatch):
    monkeypatch.setattr(impressions, "TEND_EVERY_S", 0.01)
    start(sink := Sink())
    until(lambda: sink.tended >= 3)


def test_a_sink_that_cannot_tend_still_writes(start):
    sink = Sink()
    sink.tend = lambda: 1 / 0
    log, _ = start(sink)
    until(lambda: log.failures == 1)
    log.offer(shown(0))
    until(lambda: sink.written == ["r0"])
    assert log.problem == "division by zero"


def test_close_writes_what_waits(start):
    sink = Sink()
    sink.open.clear()
    log, _ = start(sink)
    for number in range(20):
        log.offer(shown(number))
    sink.open.set()
    log.close()
    log.close()
    assert sink.written == [f"r{number}" for number in range(20)]
    assert sink.closed
    log.offer(shown(20))
    assert log.dropped == 1


def test_close_need_not_wait_for_an_idle_log(start, monkeypatch):
    monkeypatch.setattr(impressions, "TEND_EVERY_S", 3_600)
    log, _ = start(sink := Sink())
    log.offer(shown(0))
    until(lambda: sink.written)
    log.close()
    assert sink.closed


def test_close_gives_up_on_a_sink_that_fails(start):
    log, _ = start(Sink(*(OSError("gone") for _ in range(2_000))))
    log.offer(shown(0))
    until(lambda: log.failures)
    log.close()
    assert log.dropped == 1


def test_a_folder_that_is_a_file_is_named_and_harms_nobody(start, tmp_path, caplog):
    folder = tmp_path / "impressions"
    folder.write_text("not a folder")
    log, _ = start(ParquetImpressions(folder, 10, 10))
    for number in range(3):
        log.offer(shown(number))
    until(lambda: str(folder) in caplog.text)
    assert str(folder) in log.problem
    folder.unlink()  # repaired: nothing was lost
    until(lambda: log.problem is None)
    log.close()
    assert read_impressions(folder).height == 3 * 2
    assert log.dropped == 0
