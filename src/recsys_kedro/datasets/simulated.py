"""Tables of a simulated shop, made when they are loaded."""

from functools import lru_cache
from typing import Any, Literal, NoReturn, get_args

import polars as pl
from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from recsys_kedro import columns as c
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.oracle import Tastes
from recsys_kedro.simulation.shop import Shop, simulate_shop

Table = Literal["events", "products", "users", "tastes"]


class SimulatedTable(AbstractDataset[NoReturn, pl.DataFrame | Tastes]):
    """One table of a simulated shop; cannot be saved.

    The tables of one shop (same options, same seed) cost one simulation per process.
    Events, products and users come with ``source_row``, their position from 1.

    Example in a catalog::

        raw_events:
          type: recsys_kedro.datasets.simulated.SimulatedTable
          table: events
          seed: 7
          options: {users: 5000, products: 2000}
    """

    def __init__(
        self,
        *,
        table: Table,
        seed: int,
        options: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the shop and the table.

        Args:
            table: ``events``, ``products``, ``users`` or ``tastes`` (the truth behind them).
            seed: of all random draws.
            options: fields of :class:`~recsys_kedro.simulation.options.SimulationOptions`.
            metadata: kept for Kedro's plugins.

        Raises:
            DatasetError: there is no such table, or an option is wrong.
        """
        if table not in get_args(Table):
            msg = f"table is '{table}'; a simulated shop has {', '.join(get_args(Table))}"
            raise DatasetError(msg)
        try:
            self._options = SimulationOptions.model_validate(options or {})
        except ValidationError as error:
            msg = f"options of the simulated shop: {error}"
            raise DatasetError(msg) from error
        self._table = table
        self._seed = seed
        self.metadata = metadata

    def load(self) -> pl.DataFrame | Tastes:
        """Simulate the shop, unless this process has just done so."""
        shop = _simulate_once(self._options, self._seed)
        if self._table == "tastes":
            return shop.tastes
        frames = {"events": shop.events, "products": shop.products, "users": shop.users}
        rows = frames[self._table].with_row_index(c.SOURCE_ROW, offset=1)
        return rows.cast({c.SOURCE_ROW: pl.Int64})

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: the table follows from options and seed."""
        msg = (
            f"the simulated table '{self._table}' cannot be saved: it is made from options and "
            f"seed when it is loaded. Change those, or save under another name"
        )
        raise DatasetError(msg)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        options = self._options.model_dump(mode="json")
        return {"table": self._table, "seed": self._seed, "options": options}


@lru_cache(maxsize=1)
def _simulate_once(options: SimulationOptions, seed: int) -> Shop:
    return simulate_shop(options, seed)
