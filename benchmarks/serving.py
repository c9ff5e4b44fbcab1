"""How fast answers are: ``python benchmarks/serving.py [--soak MINUTES] [--users N] …``.

Fresh servers as `make serve` starts them, on a simulated shop of 100,000 products and 1,000,000
users (made once, some minutes). The load is open: requests leave at their time, whatever the
answers do. Beside each figure stands the same server with a model that does nothing.
"""

import argparse
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import polars as pl
import report
from load import noop_model
from load.client import Client, Load, closed_loop, open_loop, run
from load.redis import redis_server
from load.server import Server, serving
from numpy.typing import NDArray
from shops.large_shop import PRODUCT_IDS, USER_IDS, LargeShopOptions, served_model

from recsys_kedro import columns as c
from recsys_kedro.serving.materialisation import materialise
from recsys_kedro.serving.redis_link import connect
from recsys_kedro.serving.snapshot import ServingSnapshot

SEED = 11
WORKERS = 2
SECONDS = 20.0
KNOWN, RETURNING = 0.7, 0.2  # the rest is new; who returns brings an event along
ZIPF = 1.1
HEAD = (
    "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\n\r\n"
)
Figures = dict[str, float | int | str]


def request(user: str, event: str | None = None, k: int = 10) -> bytes:
    """One HTTP request with one question."""
    question: dict[str, Any] = {"user_id": user, "k": k, "context": {"device_type": "mobile"}}
    if event is not None:
        question["events"] = [{"product_id": event, "event_type": "click"}]
    body = json.dumps({"inputs": [question]}).encode()
    return HEAD.format(len(body)).encode() + body


class Shoppers:
    """Who asks: users and products of the shop, drawn by a seed."""

    def __init__(self, model: Path, seed: int = SEED) -> None:
        self.users = pl.read_parquet(model / USER_IDS)[c.USER_ID].to_list()
        self.products = pl.read_parquet(model / PRODUCT_IDS)[c.PRODUCT_ID].to_list()
        self.rng = np.random.default_rng(seed)

    def mixed(self) -> Iterator[bytes]:
        """Known, returning and new users, each another one: nothing comes twice."""
        for number in itertools.count():
            user = self.users[self.rng.integers(len(self.users))]
            kind = self.rng.random()
            if kind < KNOWN:
                yield request(user)
            elif kind < KNOWN + RETURNING:
                yield request(user, self.product())
            else:
                yield request(f"new {number}")

    def few(self, count: int) -> Iterator[bytes]:
        """The same users over and over."""
        return itertools.cycle([request(user) for user in self.users[:count]])

    def zipf(self, active: int) -> Iterator[bytes]:
        """``active`` users, the busiest most; one request in ten brings a new event."""
        weight = 1 / np.arange(1, active + 1) ** ZIPF
        edges = np.cumsum(weight / weight.sum())
        while True:
            user = self.users[int(np.searchsorted(edges, self.rng.random()))]
            yield request(user, self.product() if self.rng.random() < 0.1 else None)

    def product(self) -> str:
        return str(self.products[self.rng.integers(len(self.products))])


def judge(status: int, body: bytes) -> str:
    """What an answer is worth."""
    if status != 200:
        return f"status_{status}"
    if b'"items":[]' in body.replace(b" ", b"") and b"noop" not in body:
        return "empty"
    return "from_cache" if b'"from_cache":true' in body.replace(b" ", b"") else "made"


def noop_judge(status: int, body: bytes) -> str:
    return "made" if status == 200 else f"status_{status}"


def at_rate(
    server: Server, requests: Iterator[bytes], rate: float, seconds: float, **how: Any
) -> Load:
    """An open load; the first second or so is not measured."""

    async def work() -> Load:
        async with Client(server.port, how.get("judge", judge)) as client:
            await open_loop(client, requests, min(rate, 50), 2.0, SEED)
            return await open_loop(client, requests, rate, seconds, SEED + 1)

    return run(work())


def saturated(server: Server, requests: Iterator[bytes], **how: Any) -> Load:
    """As much as the server takes."""

    async def work() -> Load:
        async with Client(server.port, how.get("judge", judge), connections=8) as client:
            await open_loop(client, requests, 50, 2.0, SEED)
            return await closed_loop(client, requests, 10.0)

    return run(work())


def figures(name: str, load: Load) -> Figures:
    """Percentiles and kinds of a load, said on the screen too."""
    p50, p95, p99, worst = load.percentile(50, 95, 99, 100)
    answered = len(load.latency_ms)
    row: Figures = {
        f"{name}_requests": answered,
        f"{name}_per_second": round(answered / load.seconds, 1),
        f"{name}_p50_ms": round(float(p50), 2),
        f"{name}_p95_ms": round(float(p95), 2),
        f"{name}_p99_ms": round(float(p99), 2),
        f"{name}_worst_ms": round(float(worst), 1),
    }
    failed = {kind: n for kind, n in load.kinds.items() if kind not in ("made", "from_cache")}
    row[f"{name}_failed"] = sum(failed.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(load.kinds.items()))
    print(f"{name:24} p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f} ms   "
          f"{answered / load.seconds:7.1f}/s   {kinds}", flush=True)  # fmt: skip
    return row


def histogram(load: Load) -> None:
    """Latencies as bars, in ms."""
    edges = [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 50, 100, 1e9]
    counts, _ = np.histogram(load.latency_ms, edges)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            bar = "#" * max(1, round(60 * count / counts.max()))
            print(f"  {low:5.0f} to {high if high < 1e9 else np.inf:5.0f} ms {count:7d} {bar}")


def costs(name: str, server: Server) -> Figures:
    """What the server holds and how long it took to start."""
    return {
        f"{name}_start_seconds": round(server.started_in_s, 1),
        f"{name}_memory_mib": round(server.memory_mib(), 0),
    }


def floor(folder: Path) -> Figures:
    """The same server with a model that does nothing."""
    mlflow.pyfunc.save_model(folder / "noop", python_model=noop_model.__file__, pip_requirements=[])
    asked = itertools.cycle([request("u")])
    with serving(folder / "noop", WORKERS, folder / "noop.log") as server:
        found = figures("noop_50", at_rate(server, asked, 50, SECONDS, judge=noop_judge))
        found |= figures("noop_most", saturated(server, asked, judge=noop_judge))
        return found | costs("noop", server)


def uncached(model: Path, folder: Path) -> Figures:
    """Every list is made."""
    shoppers = Shoppers(model)
    off = {"RECSYS_CACHE_SIZE": "0", "RECSYS_IMPRESSIONS_FOLDER": str(folder / "impressions")}
    with serving(model, WORKERS, folder / "uncached.log", off) as server:
        before = server.cpu_seconds()
        load = at_rate(server, shoppers.mixed(), 50, SECONDS)
        found = figures("uncached_50", load)
        found["uncached_50_cpu_share"] = round((server.cpu_seconds() - before) / SECONDS, 3)
        histogram(load)
        found |= figures("uncached_most", saturated(server, shoppers.mixed()))
        return found | costs("server", server)


def cached(model: Path, folder: Path) -> Figures:
    """Lists that are there."""
    shoppers = Shoppers(model)
    with serving(model, WORKERS, folder / "cached.log") as server:
        at_rate(server, shoppers.few(200), 200, 20)  # both workers have them then
        load = at_rate(server, shoppers.few(200), 50, SECONDS)
        found = figures("cached_50", load)
        histogram(load)
        found |= figures("cached_200", at_rate(server, shoppers.few(200), 200, SECONDS))
        found |= figures("cached_most", saturated(server, shoppers.few(200)))
        return found


def with_redis(model: Path, folder: Path, active: int) -> Figures:
    """A cache that all workers share: a replay of busy and less busy users, then Redis dies."""
    shoppers = Shoppers(model)
    with redis_server() as redis:
        stored = _store_users(redis.url, model)
        options = {"RECSYS_REDIS_URL": redis.url}
        with serving(model, WORKERS, folder / "redis.log", options) as server:
            at_rate(server, shoppers.zipf(active), 200, 60)
            load = at_rate(server, shoppers.zipf(active), 200, 60)
            found = figures("redis_zipf_200", load)
            found["redis_zipf_hit_share"] = round(load.kinds["from_cache"] / load.kinds.total(), 3)
            killer = threading.Timer(12.0, redis.process.kill)
            killer.start()
            found |= figures("redis_killed_50", at_rate(server, shoppers.mixed(), 50, SECONDS))
            killer.join()
            return found | stored | {"redis_zipf_active_users": active}


def _store_users(url: str, model: Path) -> Figures:
    snapshot = ServingSnapshot.load(model / "artifacts" / "snapshot")
    with connect(url, 30) as client:
        began = time.perf_counter()
        written = materialise(client, "", snapshot, 1_000, 1).written
        seconds = time.perf_counter() - began
        memory = client.info("memory")["used_memory"] / 2**20
    return {
        "redis_users": written,
        "redis_users_per_second": round(written / seconds),
        "redis_memory_mib": round(memory),
    }


def soak(model: Path, folder: Path, minutes: float, most_per_second: float) -> Figures:
    """70 % of what it can take, for long: no error, and memory that does not grow."""
    shoppers, samples = Shoppers(model), []
    options = {"RECSYS_IMPRESSIONS_FOLDER": str(folder / "soak_impressions")}
    with serving(model, WORKERS, folder / "soak.log", options) as server:
        enough = threading.Event()

        def watch() -> None:
            while not enough.wait(5.0):
                samples.append((time.perf_counter(), server.memory_mib()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        rate = 0.7 * most_per_second
        found = figures("soak", at_rate(server, shoppers.mixed(), rate, 60 * minutes))
        enough.set()
        watcher.join()
    memory = np.array(samples)
    _plot(memory, rate)
    half = len(memory) // 2
    found["soak_rate"] = round(rate, 1)
    found["soak_minutes"] = minutes
    found["soak_memory_first_half_mib"] = round(float(np.median(memory[:half, 1])))
    found["soak_memory_second_half_mib"] = round(float(np.median(memory[half:, 1])))
    return found


def _plot(memory: NDArray[np.float64], rate: float) -> None:
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.plot((memory[:, 0] - memory[0, 0]) / 60, memory[:, 1])
    axes.set(xlabel="minutes", ylabel="MiB, all processes", ylim=(0, None))
    axes.set_title(f"Memory of the server at {rate:.0f} requests a second")
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(report.FOLDER / "soak_memory.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--active", type=int, default=2_000, help="users of the replay")
    parser.add_argument("--soak", type=float, default=0, help="minutes; this alone is run then")
    parser.add_argument("--shops", type=Path, default=report.ROOT / "data" / "large_shops")
    asked = parser.parse_args()
    options = LargeShopOptions(users=asked.users, products=asked.products)
    model = served_model(asked.shops, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found: Figures = {"users": asked.users, "products": asked.products, "workers": WORKERS}
        if asked.soak:
            with serving(model, WORKERS, folder / "most.log") as server:
                most = figures("most", saturated(server, Shoppers(model).mixed()))
            found |= soak(model, folder, asked.soak, float(most["most_per_second"]))
        else:
            found |= floor(folder) | uncached(model, folder) | cached(model, folder)
            found |= with_redis(model, folder, asked.active)
            ratio = float(found["uncached_most_per_second"]) / float(found["noop_most_per_second"])
            found["saturation_share_of_noop"] = round(ratio, 3)
    report.write_report("soak" if asked.soak else "serving", found)


if __name__ == "__main__":
    main()
