"""An HTTP client for load: requests leave on time, whatever the answers do.

A request's latency counts from the time at which it was due, not from when a connection was
free: a server that stalls is charged for everybody who would have waited (no coordinated
omission). The client shares the machine with the server, so it does as little as it can: bytes
made beforehand, keep-alive connections, no parsing beyond the length of the body.
"""

import asyncio
import gc
import random
import selectors
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"
GIVE_UP_AFTER_S = 10.0
DISCONNECTED = "disconnected"
UNANSWERED = "unanswered"

Judge = Callable[[int, bytes], str]


@dataclass
class Load:
    """What a stretch of load measured.

    Attributes:
        latency_ms: of each answered request, since it was due.
        late_ms: how late each request left; large values blame the client, not the server.
        kinds: how many answers of each kind, as the judge calls them.
        seconds: from the first request due to the last answer.
    """

    latency_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def percentile(self, *shares: float) -> NDArray[np.float64]:
        """Latencies in ms at these percentages; NaN without any answer."""
        if not self.latency_ms:
            return np.full(len(shares), np.nan)
        return np.percentile(self.latency_ms, shares)


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> Awaitable[tuple[int, bytes]]:
        """Send, and wait for status and body."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.transport is None or self.transport.is_closing():
            self._answer.set_exception(ConnectionError(DISCONNECTED))
        else:
            self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(END_OF_HEAD)
        if head < 0 or self._answer is None:
            return
        start = head + len(END_OF_HEAD)
        end = start + _length(self._buffer[:head])
        if len(self._buffer) >= end and not self._answer.done():
            status, body = int(self._buffer[9:12]), bytes(self._buffer[start:end])
            del self._buffer[:end]
            self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(DISCONNECTED))


def _length(head: bytearray) -> int:
    text = bytes(head).lower()
    at = text.index(LENGTH) + len(LENGTH)
    return int(text[at:].split(b"\r\n", 1)[0])


class Client:
    """Connections to one server, used in turn.

    Args:
        port: of a server on this machine.
        judge: names the kind of an answer by status and body; the body counts, since an answer
            of status 200 can say that it could not be given.
        connections: kept open; more requests under way than this wait for one, and that
            waiting is part of their latency.
    """

    def __init__(self, port: int, judge: Judge, connections: int = 32) -> None:
        self._port, self._judge = port, judge
        self._free: deque[Connection] = deque(Connection() for _ in range(connections))
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self.size = connections

    async def __aenter__(self) -> Self:
        for connection in self._free:
            await self._open(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._free:
            if connection.transport is not None:
                connection.transport.abort()

    async def _open(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, "127.0.0.1", self._port)

    async def _take(self) -> Connection:
        if self._free:
            return self._free.popleft()
        waiting: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def _give_back(self, connection: Connection) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        self._free.append(connection)

    async def send(self, request: bytes, due: float, load: Load) -> None:
        """Send one request that was due at ``due`` on the loop's clock; note what came of it."""
        clock = asyncio.get_running_loop().time
        connection = await self._take()
        load.late_ms.append(1_000 * (clock() - due))
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                status, body = await connection.ask(request)
            load.latency_ms.append(1_000 * (clock() - due))
            kind = self._judge(status, body)
        except TimeoutError:
            kind = UNANSWERED
        except OSError:
            kind = DISCONNECTED
        load.kinds[kind] += 1
        if kind in (UNANSWERED, DISCONNECTED):
            connection = await self._replacement(connection)
        self._give_back(connection)

    async def _replacement(self, old: Connection) -> Connection:
        if old.transport is not None:
            old.transport.abort()
        fresh = Connection()
        try:
            await self._open(fresh)
        except OSError:
            await asyncio.sleep(0.05)  # a server that is not there is not to be hammered
        return fresh


async def open_loop(
    client: Client, requests: Iterator[bytes], rate: float, seconds: float, seed: int
) -> Load:
    """Requests at ``rate`` a second on average, at random times (Poisson), for ``seconds``."""
    loop, load, gaps = asyncio.get_running_loop(), Load(), random.Random(seed)
    under_way: set[asyncio.Task[None]] = set()
    start = due = loop.time() + 0.05
    while (due := due + gaps.expovariate(rate)) < start + seconds:
        request = next(requests)
        await asyncio.sleep(max(due - loop.time(), 0))
        task = loop.create_task(client.send(request, due, load))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    while under_way:
        await asyncio.wait(list(under_way))
    load.seconds = loop.time() - start
    return load


async def closed_loop(client: Client, requests: Iterator[bytes], seconds: float) -> Load:
    """As many requests as the server takes: every connection asks again at once."""
    loop, load = asyncio.get_running_loop(), Load()
    start = loop.time()

    async def keep_asking() -> None:
        while loop.time() < start + seconds:
            await client.send(next(requests), loop.time(), load)

    await asyncio.gather(*(keep_asking() for _ in range(client.size)))
    load.seconds = loop.time() - start
    return load


def run(work: Coroutine[Any, Any, Load]) -> Load:
    """Run it on a loop that wakes up on time.

    ``select`` takes microseconds; the usual loops round their pauses up to milliseconds. The
    collector pauses this process, not the server, so it waits until the end.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=_precise_loop) as runner:
            return runner.run(work)
    finally:
        gc.enable()
        gc.unfreeze()


def _precise_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
