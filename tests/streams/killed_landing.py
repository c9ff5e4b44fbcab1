"""A landing in a process of its own, which is killed where the test says; no product code knows."""

import os
import signal
import sys
import threading

from recsys_kedro.streams.broker import TopicReader
from recsys_kedro.streams.landing import land

POINTS = ("open", "os.rename", "after os.rename", "commit", "any time")


def land_until_killed(options, point, number, seconds):
    """Land, but die by SIGKILL at the given point, if it is reached.

    Args:
        options: of the landing.
        point: ``open``: before the file is there. ``os.rename``: before it has its name.
            ``after os.rename``, ``commit``: so many seconds after it began. ``any time``: so many
            seconds after the start.
        number: which file.
        seconds: see ``point``.
    """
    die_later = threading.Timer(seconds, die).start
    seen = 0

    def watch(event, arguments):
        nonlocal seen
        if event == point.removeprefix("after ") and str(arguments[0]).endswith(".part"):
            seen += 1
            if seen == number:
                (die if point == event else die_later)()

    def commit(reader, offsets, commit=TopicReader.commit):
        if point == "commit":
            die_later()
        commit(reader, offsets)

    TopicReader.commit = commit
    if point == "any time":
        die_later()
    sys.addaudithook(watch)
    land(options)
    os._exit(0)  # a timer may not kill what is done


def die():
    os.kill(os.getpid(), signal.SIGKILL)
