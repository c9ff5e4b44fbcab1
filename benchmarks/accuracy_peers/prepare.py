"""The inputs of all fits, cut by cut, in a process of its own: its memory is that of the lists.

``python -m accuracy_peers.prepare spec.json``. A cut's folder holds what lies before the cut:
``events``, ``products``, ``users``, ``queries/``, and if a model wants them ``snapshots``,
``lists/`` and ``candidates/``; ``interactions`` are the events as the peers read them. Of what
lies after it, ``truth`` holds what was taken, ``asked`` who is asked.
"""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from safetensors.numpy import save_file

from accuracy_peers.job import peak_mib
from accuracy_peers.windows import Window, grids
from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.fitting import queries_at, started_users
from recsys_kedro.queries import Queries
from recsys_kedro.ranking.candidates import propose
from recsys_kedro.ranking.pair_features import pair_features
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import TAKEN, behaviours, fit_scorers
from recsys_kedro.ranking.shelves import Shelves
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.splits import TimeSplit, targets_between, window_truth
from recsys_kedro.training_lists import SamplingOptions, TrainingLists, build_training_lists
from recsys_kedro.training_requests import list_times
from recsys_kedro.vocabulary import Vocabulary

INPUTS = "inputs"
POPULAR_DAYS = 28


@dataclass(frozen=True)
class Spec:
    """What is prepared.

    Attributes:
        data: folder with ``03_primary`` and ``04_feature/split.json``.
        folder: ``inputs`` is made in it, with one folder per cut.
        windows: their cuts; nothing from the last end on is read.
        sampling, features: parameters of the environment.
        seed: of the training lists.
        lists, candidates: whether some model wants them.
    """

    data: Path
    folder: Path
    windows: tuple[Window, ...]
    sampling: dict[str, Any]
    features: dict[str, Any]
    seed: int
    lists: bool
    candidates: bool

    def write(self, path: Path) -> None:
        windows = [[each.cut.isoformat(), each.end.isoformat()] for each in self.windows]
        told = {**asdict(self), "data": str(self.data), "folder": str(self.folder)}
        path.write_text(json.dumps({**told, "windows": windows}, indent=2), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Spec":
        told = json.loads(path.read_text(encoding="utf-8"))
        windows = tuple(Window(*map(datetime.fromisoformat, pair)) for pair in told["windows"])
        paths = {"data": Path(told["data"]), "folder": Path(told["folder"])}
        return cls(**{**told, **paths, "windows": windows})


@dataclass(frozen=True)
class Tables:
    """The shop before the end of the last window, events sorted by user and time."""

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    split: TimeSplit

    @classmethod
    def read(cls, data: Path, end: datetime) -> "Tables":
        """Leave on the disk whatever happened at or after ``end``.

        Raises:
            FileNotFoundError: if the folder has no prepared tables.
        """
        tables = data / "03_primary"
        if not (data / "04_feature" / "split.json").is_file() or not tables.is_dir():
            msg = f"{data} has no prepared tables: `kedro run --env=…` of its environment first"
            raise FileNotFoundError(msg)
        events = pl.scan_parquet(tables / "events.parquet").filter(pl.col(c.TIMESTAMP) < end)
        return cls(
            events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW).collect(),
            pl.read_parquet(tables / "products.parquet"),
            pl.read_parquet(tables / "users.parquet"),
            read_split(data),
        )

    def before(self, cut: datetime) -> "Tables":
        known = pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < cut)
        return Tables(
            self.events.filter(pl.col(c.TIMESTAMP) < cut),
            self.products.filter(known),
            self.users.filter(known),
            self.split.model_copy(update={"as_of": cut}),
        )


def read_split(data: Path) -> TimeSplit:
    """The split that the environment's run has laid."""
    return TimeSplit.model_validate_json((data / "04_feature" / "split.json").read_bytes())


def write_cut(tables: Tables, window: Window, folder: Path, features: FeatureOptions) -> int:
    """What every model reads; how many users are judged."""
    cut, past = window.cut, tables.before(window.cut)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("events", "products", "users"):
        getattr(past, name).write_parquet(folder / f"{name}.parquet")
    truth = window_truth(tables.events, cut, window.end, tables.split)
    truth = started_users(truth, past.events, cut)
    asked = truth.select(c.USER_ID).unique().sort(c.USER_ID)
    truth.write_parquet(folder / "truth.parquet")
    asked.write_parquet(folder / "asked.parquet")
    queries = queries_at(asked, past.events, past.products, past.users, cut, features)
    queries.save(folder / "queries")
    interactions(past).write_parquet(folder / "interactions.parquet")
    popular(past, cut).write_parquet(folder / "popular.parquet")
    about = {"cut": cut.isoformat(), "target_event_types": tables.split.target_event_types}
    (folder / "cut.json").write_text(json.dumps(about), encoding="utf-8")
    return asked.height


def interactions(past: Tables) -> pl.DataFrame:
    """``user_id, product_id, timestamp, target``: all but returns, oldest first by user."""
    target = pl.col(c.EVENT_TYPE).is_in(list(past.split.target_event_types)).alias("target")
    kept = past.events.filter(pl.col(c.EVENT_TYPE) != c.RETURN)
    return kept.select(c.USER_ID, c.PRODUCT_ID, c.TIMESTAMP, target)


def popular(past: Tables, cut: datetime) -> pl.DataFrame:
    """``product_id, users``: the products by how many users took them lately, then by id."""
    start = cut - timedelta(days=POPULAR_DAYS)
    taken = targets_between(past.events, start, cut, past.split)
    counted = taken.group_by(c.PRODUCT_ID).agg(users=pl.len())
    return counted.sort(["users", c.PRODUCT_ID], descending=[True, False])


def write_lists(spec: Spec, tables: Tables) -> dict[str, Any]:
    """Snapshots and training lists of all cuts; the seconds, and each cut's share of them."""
    features, sampling = _options(spec)
    first = tables.events.select(pl.col(c.TIMESTAMP).min()).item()
    windows = {window.cut: window for window in spec.windows}
    shares: dict[str, float] = {}
    seconds, built = {"snapshots": 0.0, "lists": 0.0}, 0
    for cuts, every_time in grids(list(windows), features.snapshot_every_days, first):
        past, began = tables.before(cuts[-1]), perf_counter()
        times = list_times(every_time, cuts[0], past.events, past.split, sampling)
        snapshots = pl.concat([_snapshot(past, time, features) for time in times])
        seconds["snapshots"] += perf_counter() - began
        began = perf_counter()
        lists = build_training_lists(
            past.events, past.products, past.users, snapshots, past.split, sampling, features,
            spec.seed,
        )  # fmt: skip
        seconds["lists"] += perf_counter() - began
        built += len(times)
        for cut in cuts:
            window = windows[cut]
            shares[window.name] = _write_cut_lists(lists, snapshots, window, spec, sampling)
    shares = {name: used / built for name, used in shares.items()}
    return {"seconds": seconds, "shares": shares, "snapshots": built}


def _snapshot(past: Tables, time: datetime, features: FeatureOptions) -> pl.DataFrame:
    """One at a time, as the pipeline makes them: at once they take far more memory."""
    events, products = nw.from_native(past.events.lazy()), nw.from_native(past.products.lazy())
    table: pl.LazyFrame = product_snapshots(events, products, [time], features).to_native()
    return table.collect(engine="streaming").sort(c.PRODUCT_ID)


def _write_cut_lists(
    lists: TrainingLists,
    snapshots: pl.DataFrame,
    window: Window,
    spec: Spec,
    sampling: SamplingOptions,
) -> int:
    """Only what was known at the cut; how many snapshots that took."""
    folder = spec.folder / INPUTS / window.name
    known = lists.known_at(window.cut, sampling.snapshots, sampling.lists)
    known.save(folder / "lists")
    first = known.requests[f.SNAPSHOT_TIME].min()
    until = snapshots.filter(pl.col(f.SNAPSHOT_TIME).is_between(first, window.cut))
    until.write_parquet(folder / "snapshots.parquet")
    return until[f.SNAPSHOT_TIME].n_unique()


def write_candidates(spec: Spec, tables: Tables, window: Window) -> float:
    """The candidates of everybody who is asked, with pair features.

    They are those of the training lists: all sources but the hybrid's own network.

    Returns:
        The seconds that fitting the scorers took; the rest is what answering takes.
    """
    folder, past = spec.folder / INPUTS / window.name, tables.before(window.cut)
    # As the lists were made: what is too young for a feature has none in either.
    sampling = TrainingLists.load(folder / "lists").options
    at_cut = pl.col(f.SNAPSHOT_TIME) == window.cut
    now = pl.read_parquet(folder / "snapshots.parquet").filter(at_cut)
    names = past.products.select(c.PRODUCT_ID, c.NAME)
    now = now.join(names, on=c.PRODUCT_ID, how="left").sort(c.PRODUCT_ID)
    began = perf_counter()
    vocabulary, categories = Vocabulary.fit(now[c.PRODUCT_ID]), Vocabulary.fit(now[c.CATEGORY])
    weights = behaviours(past.events, past.split.target_event_types, sampling.scorers)
    snapshot = Snapshot(
        fit_scorers(past.events, past.products, vocabulary, window.cut, weights, sampling.scorers),
        product_state(now, vocabulary, categories),
        vocabulary,
        categories,
    )
    seconds = perf_counter() - began
    queries = Queries.load(folder / "queries")
    arrays = _candidate_arrays(queries, snapshot, sampling)
    (folder / "candidates").mkdir(exist_ok=True)
    save_file(arrays, folder / "candidates" / "candidates.safetensors")
    queries.requests.select(c.USER_ID).write_parquet(folder / "candidates" / "users.parquet")
    vocabulary.save(folder / "candidates" / "products.parquet")
    return seconds


def _candidate_arrays(
    queries: Queries, snapshot: Snapshot, sampling: SamplingOptions
) -> dict[str, np.ndarray]:
    parts: list[tuple[np.ndarray, ...]] = []
    shelves = Shelves.of(snapshot, sampling.candidates.new_days)
    for _, batch in queries.batches_over(len(snapshot.vocabulary)):
        scores = snapshot.scorers.catalogue_scores(batch, snapshot.vocabulary)
        taken = batch.seen(snapshot.vocabulary, snapshot.scorers.weights[TAKEN])
        found = propose(scores, shelves, taken, sampling.candidates)
        values = pair_features(batch, found, scores, snapshot).values.astype(np.float16)
        counts = np.diff(found.offsets)
        parts.append((values, found.product, taken[found.query, found.product], counts))
    features, product, taken, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return {"features": features, "product": product, "taken": taken, "offsets": offsets}


def _options(spec: Spec) -> tuple[FeatureOptions, SamplingOptions]:
    features = FeatureOptions.model_validate(spec.features)
    return features, SamplingOptions.model_validate(spec.sampling)


def main(path: Path) -> None:
    spec = Spec.read(path)
    tables = Tables.read(spec.data, spec.windows[-1].end)
    features, _ = _options(spec)
    said: dict[str, Any] = {"users": {}, "seconds_scorers": {}}
    for window in spec.windows:
        folder = spec.folder / INPUTS / window.name
        said["users"][window.name] = write_cut(tables, window, folder, features)
    if spec.lists:
        said |= write_lists(spec, tables)
    said["peak_mib"] = peak_mib()
    if spec.candidates:
        for window in spec.windows:
            said["seconds_scorers"][window.name] = write_candidates(spec, tables, window)
    (spec.folder / "prepared.json").write_text(json.dumps(said, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
