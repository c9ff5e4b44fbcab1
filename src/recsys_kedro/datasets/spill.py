"""Where a run keeps what its memory does not hold."""

import shutil
from pathlib import Path
from typing import Any, NoReturn

from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError

from recsys_kedro.datasets.filesystem import located
from recsys_kedro.spill import SpillFolder


class SpillDataset(AbstractDataset[NoReturn, SpillFolder]):
    """Gives a node an empty folder on this machine's disk; cannot be saved.

    What a run leaves there stays until the next load, which empties the folder.

    Example of a catalog entry::

        event_spill:
          type: recsys_kedro.datasets.spill.SpillDataset
          filepath: data/02_intermediate/event_spill
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: on a disk of this machine; all that is in it is deleted by every load.
            metadata: ignored here; read by plugins such as Kedro-Viz.
        """
        self._filepath = filepath
        self.metadata = metadata

    def load(self) -> SpillFolder:
        """The folder, emptied.

        Raises:
            DatasetError: it is not on a disk of this machine.
        """
        fs, path = located(self._filepath)
        if not isinstance(fs, LocalFileSystem):
            msg = (
                f"'{self._filepath}' is not on this machine: what the memory does not hold is "
                f"kept on a disk. Set filepath to a local folder in your environment's catalog"
            )
            raise DatasetError(msg)
        folder = Path(path)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return SpillFolder(folder)

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: nodes write into what they load."""
        msg = f"'{self._filepath}' cannot be saved: it is an empty folder for the run to fill"
        raise DatasetError(msg)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
