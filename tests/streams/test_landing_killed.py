"""Landings that are killed again and again, until one ends: every event is there once."""

import multiprocessing
import random
import signal
from itertools import cycle

import orjson
import polars as pl
import pytest
from streams.killed_landing import POINTS, land_until_killed

from recsys_kedro import columns as c
from recsys_kedro.streams.landing import land
from recsys_kedro.streams.options import KAFKA_OFFSET, KAFKA_PARTITION

PARTITIONS, MESSAGES = 2, 300
UNUSABLE = b"not json"


@pytest.fixture(scope="module")
def is_killed():
    """Starts landings out of a process that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["streams.killed_landing"])

    def is_killed(*arguments):
        process = context.Process(target=land_until_killed, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0

    return is_killed


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_nothing_is_lost_or_doubled(broker, options_for, landed, event, is_killed, kills):
    chance = random.Random(kills)
    topic = broker.new_topic(PARTITIONS)
    sent = [[] for _ in range(PARTITIONS)]

    def send():
        for partition, before in enumerate(sent):
            more = [
                UNUSABLE if chance.random() < 0.1 else orjson.dumps(event(event_id=str(number)))
                for number in range(len(before), len(before) + MESSAGES)
            ]
            broker.send(topic, *more, partition=partition)
            before += more

    send()
    killed, points = 0, cycle(POINTS)
    while killed < kills:
        point, options = next(points), options_for(topic, rows_per_file=chance.randint(10, 30))
        seconds = chance.expovariate(1 / (0.0005 if point == "commit" else 0.02))
        if is_killed(options, point, chance.randint(1, 4), seconds):
            killed += 1
        else:  # it came to its end first
            send()
    land(options)

    places = {
        (partition, offset): value
        for partition, values in enumerate(sent)
        for offset, value in enumerate(values)
    }
    unusable = [place for place, value in places.items() if value == UNUSABLE]
    assert landed(options, "dead_letters/")[:, :2].rows() == unusable
    events = landed(options).select(KAFKA_PARTITION, KAFKA_OFFSET, c.EVENT_ID)
    assert events[:, :2].rows() == [place for place in places if place not in set(unusable)]
    assert events[c.EVENT_ID].equals(events[KAFKA_OFFSET].cast(pl.String), check_names=False)
