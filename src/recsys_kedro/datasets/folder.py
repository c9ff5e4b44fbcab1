"""An object that writes and reads itself as a folder of files."""

import shutil
from pathlib import Path
from typing import Any, Protocol, Self

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj


class SavesToFolder(Protocol):
    """What can be kept by a :class:`FolderDataset`."""

    def save(self, folder: Path) -> None:
        """Write everything into ``folder``."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""


class FolderDataset(AbstractDataset[SavesToFolder, SavesToFolder]):
    """Keeps an object with ``save(folder)`` and ``load(folder)``.

    Example of a catalog entry::

        training_lists:
          type: recsys_kedro.datasets.folder.FolderDataset
          filepath: data/05_model_input/training_lists
          model: recsys_kedro.training_lists.TrainingLists
    """

    def __init__(
        self, *, filepath: str, model: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """Name the folder and the class.

        Args:
            filepath: a local folder; replaced as a whole on save.
            model: dotted path of the class.
            metadata: ignored here; read by plugins such as Kedro-Viz.
        """
        self._filepath = Path(filepath)
        self._model = model
        self.metadata = metadata

    def load(self) -> SavesToFolder:
        """Let the class read the folder."""
        if not self._filepath.is_dir():
            msg = (
                f"{self._filepath} does not exist (it holds a {self._model}). "
                "Run the pipeline that makes it first."
            )
            raise DatasetError(msg)
        loaded: SavesToFolder = load_obj(self._model).load(self._filepath)
        return loaded

    def save(self, data: SavesToFolder) -> None:
        """Write beside and swap, so that a run that is killed never leaves half a folder."""
        fresh = self._filepath.with_name(f"{self._filepath.name}.new")
        old = self._filepath.with_name(f"{self._filepath.name}.old")
        for left_over in (fresh, old):
            shutil.rmtree(left_over, ignore_errors=True)
        fresh.mkdir(parents=True)
        data.save(fresh)
        if self._filepath.exists():
            self._filepath.rename(old)
        fresh.rename(self._filepath)
        shutil.rmtree(old, ignore_errors=True)

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "model": self._model}
