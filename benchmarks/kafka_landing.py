"""How fast a topic is landed on one core: ``python benchmarks/kafka_landing.py [--events N]``.

Beside it a plain loop of ``poll`` and ``json.loads`` does the same in the same run. The broker is
noida-db on the other cores, or the one that ``KAFKA_BOOTSTRAP_SERVERS`` names.
"""

import argparse
import json
import os

# One core, as said in the figures; has to be set before NumPy and Polars start.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[threads] = "1"

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import report
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from recsys_kedro.streams.landing import land
from recsys_kedro.streams.options import LandingOptions

TOPIC = "benchmark"
REQUIRED = ("user_id", "product_id", "timestamp")
PARTITIONS = 10  # noida-db answers with all that a partition has; a client takes 100 MB at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as servers:
        size = produce(servers, asked.events)
        if hasattr(os, "sched_setaffinity"):  # the client's own threads too
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        before = report.peak_memory_mib()
        ours = [landing(servers, asked.events) for _ in range(asked.repeats)]
        peak = report.peak_memory_mib()
        naive = [plain_loop(servers, asked.events) for _ in range(asked.repeats)]
    report.write_report(
        "kafka_landing",
        {
            "events": asked.events,
            "bytes_per_event": round(size / asked.events, 1),
            "partitions": PARTITIONS,
            "cores": 1,
            **rates(ours, asked.events),
            **{f"plain_loop_{key}": value for key, value in rates(naive, asked.events).items()},
            "peak_memory_mib": peak,
            "peak_memory_before_mib": before,
        },
    )


def rates(taken: list[tuple[float, float]], events: int) -> dict[str, float]:
    """Of (wall clock, processor) seconds; on a busy machine only the latter are the program's."""
    wall, cpu = (report.timing(list(seconds)) for seconds in zip(*taken, strict=True))
    return {
        **wall,
        "events_per_second": round(events / wall["seconds"]),
        "cpu_seconds": cpu["seconds"],
        "events_per_cpu_second": round(events / cpu["seconds"]),
    }


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    if "KAFKA_BOOTSTRAP_SERVERS" in os.environ:
        yield os.environ["KAFKA_BOOTSTRAP_SERVERS"]
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binary = files("noida_db").joinpath("noida-db")
    os.chmod(str(binary), 0o755)
    command = [str(binary), "start", "--data-dir", str(folder), "--only", "kafka"]
    process = subprocess.Popen([*command, "--kafka-port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def produce(servers: str, events: int) -> int:
    """Send the events, as many to each partition; how many bytes they have."""
    settings = {"bootstrap.servers": servers}
    admin = AdminClient(settings)
    for done in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        done.result()
    producer, size = Producer({**settings, "linger.ms": 20}), 0
    for number in range(events):
        value = message(number)
        size += len(value)
        while True:
            try:
                producer.produce(TOPIC, value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return size


def message(number: int) -> bytes:
    event = {
        "event_id": f"e{number:010}",
        "event_type": "product_view",
        "user_id": f"user_{number % 50_000}",
        "product_id": f"product_{number % 7_000}",
        "timestamp": f"2024-06-01T12:{number % 60:02}:{number % 59:02}.{number % 977:03}Z",
        "session_id": f"s{number // 9}",
        "device_type": "mobile",
        "context": {"category": f"category {number % 40}", "price": number % 977 / 10},
    }
    return json.dumps(event).encode()


def landing(servers: str, events: int) -> tuple[float, float]:
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = land(LandingOptions(bootstrap_servers=servers, topic=TOPIC, folder=folder))
    assert done.landed == events
    return done.seconds, time.process_time() - start


def plain_loop(servers: str, events: int) -> tuple[float, float]:
    """What one writes first: no positions, no dead letters, no care for a crash."""
    start, cpu = time.perf_counter(), time.process_time()
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "plain", "enable.auto.commit": False}
    )
    with tempfile.TemporaryDirectory() as folder:
        for partition in range(PARTITIONS):
            consumer.assign([TopicPartition(TOPIC, partition, 0)])
            rows: list[dict[str, Any]] = []
            while len(rows) < events // PARTITIONS:
                polled = consumer.poll(1.0)
                if polled is None or polled.error():
                    continue
                event = json.loads(polled.value())
                if all(event.get(name) for name in REQUIRED):
                    rows.append(event)
            pl.DataFrame(rows).write_parquet(f"{folder}/{partition}.parquet")
    consumer.close()
    return time.perf_counter() - start, time.process_time() - cpu


if __name__ == "__main__":
    main()
