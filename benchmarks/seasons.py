"""What knowing the time of the year brings: NDCG@10 and seconds of the hybrid, with and without.

Run: ``make bench-seasons``. Simulated shops of two years; categories have yearly waves, and some
categories and products a Christmas. Three cuts, the last one five weeks before Christmas, each
judged on the four weeks after it by users with a past. Every fit has the same settings, the lists
are shared. Differences are paired by user and window, with 95 % bootstrap intervals over users.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import report

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.snapshots import product_snapshots
from recsys_kedro.fitting import queries_at, recommend_tasks, started_users, training_data
from recsys_kedro.metrics.intervals import paired_interval
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.models.hybrid_lists import without_product_season
from recsys_kedro.schemas import EVENTS
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop
from recsys_kedro.splits import TimeSplit, window_truth
from recsys_kedro.training_lists import SamplingOptions, TrainingLists, build_training_lists

START = datetime(2023, 1, 1, tzinfo=UTC)
DAYS = 730
WEEK = timedelta(weeks=1)
HORIZON = timedelta(days=28)
CUTS = tuple(START + timedelta(days=days) for days in (490, 588, 686))
FIRST_LISTS = CUTS[0] - timedelta(weeks=61)  # a year and the label before the first cut
SAMPLING = {"window_queries": 300, "session_queries": 60, "list_negatives": 60}
BATCH = 64  # the shops are small
RECENT, MORE, YEAR = 12, 22, 57


@dataclass(frozen=True)
class Variant:
    """One way to fit: its options, whether products have a season, and what it is compared with."""

    name: str
    options: dict[str, Any]
    product_season: bool = False
    against: str = ""


def variants(cut: datetime, weight: int) -> Iterator[Variant]:
    """All ways to fit as of a cut; those that cost most before Christmas only."""
    last = cut + HORIZON
    season = {"first": f"{cut:%m-%d}", "last": f"{last:%m-%d}", "weight": weight}
    plain, weighted = {"snapshots": RECENT}, {"snapshots": RECENT, "season": season}
    yield Variant("latest 12 snapshots", plain)
    yield Variant("… with the season of products", plain, True, "latest 12 snapshots")
    yield Variant("latest 22 snapshots", {"snapshots": MORE}, False, "latest 12 snapshots")
    yield Variant(
        f"latest 12 and {weight} times last year's season", weighted, False, "latest 22 snapshots"
    )
    if cut < CUTS[-1]:
        return
    year = {"snapshots": YEAR}
    yield Variant("latest 57 snapshots, day of the year", year, False, "latest 12 snapshots")
    holidays = {"encoders": {"show_holidays": True}}
    yield Variant("… with holidays", year | holidays, False, "latest 57 snapshots, day of the year")


@dataclass(frozen=True)
class TwoYears:
    """A simulated shop with all that fits as of any cut share."""

    shop: Shop
    events: pl.DataFrame
    snapshots: pl.DataFrame
    lists: TrainingLists
    split: TimeSplit

    @classmethod
    def simulated(cls, users: int, seed: int) -> "TwoYears":
        sizes = SimulationOptions(
            users=users,
            products=users // 4,
            events_per_user=250,
            start=START.date(),
            days=DAYS,
            christmas=1.0,
        )
        shop = simulate_shop(sizes, seed)
        rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
        none = pl.lit(None, pl.String).alias(c.RECOMMENDATION_ID)
        events = shop.events.with_columns(rows, none).select(list(EVENTS.columns))
        events = events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
        split = TimeSplit(
            validation_start=CUTS[0], test_start=CUTS[-1], end=CUTS[-1] + HORIZON,
            as_of=CUTS[-1], horizon_days=HORIZON.days, target_event_types=(c.PURCHASE,),
        )  # fmt: skip
        count = (CUTS[-1] - FIRST_LISTS) // WEEK
        times = [CUTS[-1] - number * WEEK for number in range(count, -1, -1)]
        tables = [nw.from_native(table.lazy()) for table in (events, shop.products)]
        features = FeatureOptions()
        snapshots = product_snapshots(*tables, times, features).collect().to_native()
        lists = build_training_lists(
            events, shop.products, shop.users, snapshots, split,
            SamplingOptions.model_validate(SAMPLING), features, seed,
        )  # fmt: skip
        return cls(shop, events, snapshots, lists, split)

    def values(self, cut: datetime, variant: Variant, epochs: int, seed: int) -> pl.DataFrame:
        """``task, user_id, ndcg`` in the weeks after a cut."""
        tables = self.events, self.shop.products, self.shop.users
        lists = self.lists if variant.product_season else without_product_season(self.lists)
        data = training_data(*tables, self.snapshots, lists, self.split, cut)
        training = {"epochs": epochs, "batch_size": BATCH}
        options = HybridOptions.model_validate({"training": training, **variant.options})
        model = Hybrid.fit(data, options, seed)
        truth = window_truth(self.events, cut, cut + HORIZON, self.split)
        truth = started_users(truth, self.events, cut)
        queries = queries_at(truth, *tables, cut, FeatureOptions())
        return ndcg_by_user(truth, recommend_tasks(model, queries), 10)


def measured(
    seeds: list[int], users: int, epochs: int, weight: int, only: list[str]
) -> pl.DataFrame:
    """``shop, cut, variant, seconds, task, user_id, ndcg`` of all fits."""
    parts = []
    for seed in seeds:
        began = time.perf_counter()
        shop = TwoYears.simulated(users, seed)
        print(f"shop {seed}: {shop.events.height:,} events, lists of "
              f"{shop.lists.requests[f.SNAPSHOT_TIME].n_unique()} snapshots, "
              f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
        for cut in CUTS:
            for variant in variants(cut, weight):
                if only and not any(word in variant.name for word in only):
                    continue
                began = time.perf_counter()
                values = shop.values(cut, variant, epochs, seed)
                seconds = time.perf_counter() - began
                means = dict(values.group_by(c.TASK).agg(pl.col("ndcg").mean()).iter_rows())
                print(f"  {cut:%Y-%m-%d} {variant.name}: {means}, {seconds:.0f} s", flush=True)
                labels = {"shop": seed, "cut": cut, "variant": variant.name, "seconds": seconds}
                parts.append(values.with_columns(**{k: pl.lit(v) for k, v in labels.items()}))
    return pl.concat(parts)


def difference(found: pl.DataFrame, variant: Variant, task: str) -> tuple[float, float, float]:
    """The variant's NDCG@10 minus the other's, with its interval; a user brings all windows."""
    keys = ["shop", "cut", c.USER_ID]
    of_task = found.filter(pl.col(c.TASK) == task)
    mine, theirs = (
        of_task.filter(pl.col("variant") == name).select(*keys, "ndcg")
        for name in (variant.name, variant.against)
    )
    both = mine.join(theirs, on=keys, suffix="_theirs")
    by_user = both.group_by("shop", c.USER_ID).agg((pl.col("ndcg") - pl.col("ndcg_theirs")).sum())
    values = by_user.sort("shop", c.USER_ID)["ndcg"].to_numpy() * by_user.height / both.height
    return tuple(paired_interval(values, seed=0))


def table(found: pl.DataFrame, weight: int) -> tuple[str, dict[str, float | int | str]]:
    """A table in Markdown, and the figures by name."""
    lines = [
        "| | NDCG@10 all | difference | NDCG@10 new | difference | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    figures: dict[str, float | int | str] = {}
    for variant in variants(found["cut"].min(), weight):
        mine = found.filter(pl.col("variant") == variant.name)
        if mine.is_empty():
            continue
        seconds = mine.unique(["shop", "cut"])["seconds"].mean()
        cells = [variant.name]
        for task in c.TASKS:
            value = mine.filter(pl.col(c.TASK) == task)["ndcg"].mean()
            figures[f"{variant.name}, {task}, ndcg@10"] = round(value, 4)
            cells.append(f"{value:.4f}".removeprefix("0"))
            told = ""
            if variant.against in found["variant"]:
                gap = difference(found, variant, task)
                figures[f"{variant.name}, {task}, difference"] = round(gap[0], 4)
                mark = "" if gap[1] > 0 or gap[2] < 0 else "~ "
                told = mark + "{:+.4f} ({:+.4f} to {:+.4f})".format(*gap).replace("0.", ".")
            cells.append(told)
        cells.append(f"{seconds:.0f}")
        figures[f"{variant.name}, seconds"] = round(seconds, 1)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines), figures


def main() -> None:
    """Simulate, fit, judge; write the report and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2_000, help="250 events each in two years")
    parser.add_argument("--shops", type=int, default=3, help="seeds, from 1")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--weight", type=int, default=2, help="of last year's season")
    parser.add_argument("--only", nargs="*", default=[], help="words of the variants to fit")
    asked = parser.parse_args()
    seeds = list(range(1, asked.shops + 1))
    found = measured(seeds, asked.users, asked.epochs, asked.weight, asked.only)
    rows = found.unique(["shop", "cut", c.USER_ID]).height
    figures: dict[str, float | int | str] = {**vars(asked), "users_judged": rows}
    figures["only"] = ", ".join(asked.only)
    text = ""
    last = pl.col("cut") == CUTS[-1]
    for title, some in (("All cuts", found), ("Before Christmas", found.filter(last)),
                        ("Other cuts", found.filter(~last))):  # fmt: skip
        lines, numbers = table(some, asked.weight)
        figures |= {f"{title}: {name}": value for name, value in numbers.items()}
        text += f"{title}\n\n{lines}\n\n"
    report.write_report("seasons", figures)
    (report.FOLDER / "seasons.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
