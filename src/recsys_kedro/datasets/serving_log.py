"""What servers have logged: what was shown, and what the models were given."""

from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from recsys_kedro.schemas import IMPRESSIONS, SERVED_INPUTS
from recsys_kedro.serving.impression_files import read_impressions, read_served_inputs

Table = Literal["impressions", "served_inputs"]


class ServingLogDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """A table of the log in one folder, also while servers write to it; cannot be saved.

    Example in a catalog::

        impressions:
          type: recsys_kedro.datasets.serving_log.ServingLogDataset
          table: impressions
          filepath: data/07_model_output/impressions
    """

    def __init__(
        self, *, table: Table, filepath: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """Name the table and the folder.

        Args:
            table: ``impressions`` or ``served_inputs``.
            filepath: a folder on this machine, the ``RECSYS_IMPRESSIONS_FOLDER`` of the servers.
            metadata: kept for Kedro's plugins.

        Raises:
            DatasetError: there is no such table.
        """
        if table not in get_args(Table):
            msg = f"table is '{table}'; the log of a server has {', '.join(get_args(Table))}"
            raise DatasetError(msg)
        self._table, self._folder = table, Path(filepath)
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """The whole table, see ``schemas.IMPRESSIONS`` and ``schemas.SERVED_INPUTS``.

        Raises:
            DatasetError: there is no such folder.
        """
        if not self._folder.is_dir():
            msg = (
                f"no server has logged to '{self._folder}' yet: start one with `make serve` and "
                "ask it, or name the folder that RECSYS_IMPRESSIONS_FOLDER named"
            )
            raise DatasetError(msg)
        if self._table == "impressions":
            return IMPRESSIONS.validate(read_impressions(self._folder))
        return SERVED_INPUTS.validate(read_served_inputs(self._folder))

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: servers write the log."""
        msg = f"'{self._folder}': the log of the servers is read only"
        raise DatasetError(msg)

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"table": self._table, "filepath": str(self._folder)}
