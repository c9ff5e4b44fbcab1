"""Shoppers who ask a server as they come, and answer what it shows them."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from queue import SimpleQueue
from typing import Any

import orjson
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.simulation.response import Audience

LIST_LENGTH = 10
BATCH, CONNECTIONS = 20, 4  # more connections than workers: one worker may get several
DAY, TURN = "day", "turn"
SENT = (c.PRODUCT_ID, c.EVENT_TYPE, c.TIMESTAMP, c.PRICE, c.QUANTITY)
Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Lived:
    """What happened in all visits.

    Attributes:
        events: of the shoppers, see ``Audience.respond``.
        shown: ``session_id, user_id, timestamp, recommendation_id, position, product_id``.
    """

    events: pl.DataFrame
    shown: pl.DataFrame


@contextmanager
def asking(port: int) -> Iterator[Ask]:
    """Answers of a server on this machine: several connections, several requests a call."""
    free: SimpleQueue[HTTPConnection] = SimpleQueue()
    for _ in range(CONNECTIONS):
        free.put(HTTPConnection("127.0.0.1", port, timeout=60))

    def post(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        connection = free.get()
        try:
            body = orjson.dumps({"inputs": batch})
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = orjson.loads(answer.read())
        finally:
            free.put(connection)
        if answer.status != 200:
            msg = f"the server answered with status {answer.status}: {content}"
            raise RuntimeError(msg)
        return list(content["predictions"])

    def ask(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        batches = [requests[start : start + BATCH] for start in range(0, len(requests), BATCH)]
        answers = list(itertools.chain.from_iterable(pool.map(post, batches)))
        errors = [answer["error"] for answer in answers if answer["error"]]
        if errors:
            msg = f"{len(errors)} requests were refused, the first one because: {errors[0]}"
            raise RuntimeError(msg)
        return answers

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        yield ask


def live(audience: Audience, ask: Ask) -> Lived:
    """All visits day by day: each asks as it begins, and the next one tells what followed."""
    events, shown = [], []
    for visits in turns(audience.visits):
        happened = pl.concat(events) if events else None
        answers = ask(requests_of(visits, happened))
        shown.append(as_impressions(visits, answers))
        events.append(audience.respond(visits, shown[-1]))
    return Lived(pl.concat(events).sort(c.TIMESTAMP, c.EVENT_ID), pl.concat(shown))


def turns(visits: pl.DataFrame) -> list[pl.DataFrame]:
    """The visits in parts, in time order by user; each part is of one day, a user once in it."""
    day = pl.col(c.TIMESTAMP).dt.date().alias(DAY)
    turn = pl.int_range(pl.len()).over(c.USER_ID, DAY).alias(TURN)
    ordered = visits.with_columns(day).with_columns(turn).sort(DAY, TURN, c.TIMESTAMP)
    return ordered.partition_by(DAY, TURN, maintain_order=True, include_key=False)


def requests_of(visits: pl.DataFrame, events: pl.DataFrame | None) -> list[dict[str, Any]]:
    """One request a visit, with what its user did since the model was made."""
    past: dict[str, list[dict[str, Any]]] = {}
    iso = pl.col(c.TIMESTAMP).dt.to_string("iso:strict")
    if events is not None:
        now = visits.select(c.USER_ID, pl.col(c.TIMESTAMP).alias("now"))
        sent = events.join(now, on=c.USER_ID).filter(pl.col(c.TIMESTAMP) < pl.col("now"))
        by_user = sent.select(c.USER_ID, pl.struct(SENT).struct.with_fields(iso).alias("events"))
        past = dict(by_user.group_by(c.USER_ID).agg("events").iter_rows())
    context = pl.struct(iso.alias("time"), c.DEVICE_TYPE, c.SESSION_ID)
    return [
        {"user_id": user, "k": LIST_LENGTH, "context": about, "events": past.get(user, [])}
        for user, about in visits.select(c.USER_ID, context).iter_rows()
    ]


def as_impressions(visits: pl.DataFrame, answers: list[dict[str, Any]]) -> pl.DataFrame:
    """One row per shown product."""
    products = [[item["product_id"] for item in answer["items"]] for answer in answers]
    ids = [answer["recommendation_id"] for answer in answers]
    lists = visits.select(
        c.SESSION_ID,
        c.USER_ID,
        c.TIMESTAMP,
        pl.Series(c.RECOMMENDATION_ID, ids, pl.String),
        pl.Series(c.PRODUCT_ID, products, pl.List(pl.String)),
        pl.Series(c.POSITION, [list(range(1, len(each) + 1)) for each in products]),
    )
    return lists.explode(c.PRODUCT_ID, c.POSITION).drop_nulls(c.PRODUCT_ID)
