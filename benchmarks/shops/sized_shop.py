"""A simulated shop of any number of events, on disk: raw tables, and an environment of its own.

It is simulated in blocks of users, so that memory does not grow with the shop. One seed gives
one catalogue and one demand whatever the number of users, so blocks that differ a little in
size are different users of the same shop.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recsys_kedro import columns as c
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import Shop, simulate_shop

SEED = 7
EVENTS_PER_USER = 20
EVENTS_PER_PRODUCT = 1_000
DAYS = 180
USERS_PER_BLOCK = 100_000
ENVIRONMENT, SCANNED = "sized", "sized_scanned"  # all tables in memory; events read as a scan
MONTH = "month"


@dataclass(frozen=True)
class SizedShop:
    """Where it lies, and how large it is."""

    folder: Path
    events: int

    @property
    def users(self) -> int:
        return self.events // EVENTS_PER_USER

    @property
    def products(self) -> int:
        return self.events // EVENTS_PER_PRODUCT

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    def write_raw(self) -> int:
        """Simulate it into ``01_raw``, events in files by month; how many events there are."""
        raw = self.folder / "01_raw"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        starts = range(0, self.users, USERS_PER_BLOCK)
        written, users = 0, []
        for block, start in enumerate(starts):
            shop = _block(self, block, min(USERS_PER_BLOCK, self.users - start))
            users.append(shop.users)
            for (month,), events in shop.events.group_by(
                pl.col(c.TIMESTAMP).dt.strftime("%Y_%m").alias(MONTH), maintain_order=True
            ):
                events.drop(MONTH, strict=False).write_parquet(
                    raw / f"events_{month}_{block:03d}.parquet"
                )
            written += shop.events.height
            if block == 0:
                shop.products.write_parquet(raw / "products.parquet")
        pl.concat(users).write_parquet(raw / "users.parquet")
        return written

    def write_environment(self, base: Path, parameters: dict[str, Any]) -> None:
        """Two environments over a copy of ``base``: these raw tables, these parameters."""
        shutil.rmtree(self.conf, ignore_errors=True)
        shutil.copytree(base, self.conf / "base")
        raw = self.folder / "01_raw"
        table = "recsys_kedro.datasets.tables.TableDataset"
        files = {"raw_events": "events_*", "raw_products": "products", "raw_users": "users"}
        tracking = {"mlflow_tracking_uri": f"sqlite:///{self.folder}/mlflow.db"}
        contents = {
            "globals": {"shop": f"sized_{self.events}", "data": str(self.folder)},
            "catalog_ingestion": {
                name: {
                    "type": table,
                    "filepath": f"{raw}/{stem}.parquet",
                    "in_blocks": name == "raw_events",
                }
                for name, stem in files.items()
            },
            "catalog_inference": {
                "champion_model": {
                    "type": "recsys_kedro.datasets.folder.FolderDataset",
                    "filepath": f"{self.folder}/06_models/candidate",
                    "model": "recsys_kedro.models.registry.AnyModel",
                }
            },
            "parameters": parameters,
            "mlflow": {"server": tracking},
        }
        scan = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
        path = f"{self.folder}/03_primary/events.parquet"
        scanned = {"catalog_feature_engineering": {"events": {**scan, "filepath": path}}}
        for environment, files_of in ((ENVIRONMENT, contents), (SCANNED, contents | scanned)):
            (self.conf / environment).mkdir()
            for name, content in files_of.items():
                text = yaml.safe_dump(content, sort_keys=False)
                (self.conf / environment / f"{name}.yml").write_text(text, encoding="utf-8")


def _block(shop: SizedShop, block: int, users: int) -> Shop:
    """Some of the users, under ids that no other block has."""
    options = SimulationOptions(
        users=users + block,
        products=shop.products,
        events_per_user=EVENTS_PER_USER,
        days=DAYS,
    )
    made = simulate_shop(options, SEED)
    ids = (c.EVENT_ID, c.USER_ID, c.SESSION_ID)
    renamed = [pl.format("{}-{}", pl.lit(f"{block:03d}"), pl.col(name)).alias(name) for name in ids]
    return Shop(
        made.events.with_columns(renamed),
        made.products,
        made.users.with_columns(renamed[1]),
        made.tastes,
    )
