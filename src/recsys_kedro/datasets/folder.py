"""An object that writes and reads itself as a folder of files."""

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Protocol, Self

from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj

from recsys_kedro.datasets.filesystem import located


class SavesToFolder(Protocol):
    """What can be kept by a :class:`FolderDataset`."""

    def save(self, folder: Path) -> None:
        """Write everything into ``folder``."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the files may be gone afterwards."""


class FolderDataset(AbstractDataset[SavesToFolder, SavesToFolder]):
    """Keeps an object with ``save(folder)`` and ``load(folder)``.

    On a disk that is a folder. Elsewhere it is one object, ``<filepath>.tar``, since an object
    store replaces one object as a whole, but not several.

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
            filepath: on any filesystem that fsspec knows; replaced as a whole on save.
            model: dotted path of the class.
            metadata: ignored here; read by plugins such as Kedro-Viz.
        """
        self._filepath = filepath
        self._fs, path = located(filepath)
        self._folder = Path(path) if isinstance(self._fs, LocalFileSystem) else None
        self._tar = f"{path}.tar"
        self._model = model
        self.metadata = metadata

    def load(self) -> SavesToFolder:
        """Let the class read the folder."""
        if not self._exists():
            msg = (
                f"{self._filepath} does not exist (it holds a {self._model}). "
                "Run the pipeline that makes it first."
            )
            raise DatasetError(msg)
        if self._folder is not None:
            return self._read(self._folder)
        with tempfile.TemporaryDirectory() as temporary:
            with self._fs.open(self._tar) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                tar.extractall(temporary, filter="data")
            return self._read(Path(temporary))

    def _read(self, folder: Path) -> SavesToFolder:
        loaded: SavesToFolder = load_obj(self._model).load(folder)
        return loaded

    def save(self, data: SavesToFolder) -> None:
        """Write beside and swap, so that a run that is killed never leaves half a folder."""
        if self._folder is not None:
            _replace(self._folder, data)
            return
        with tempfile.TemporaryDirectory() as temporary:
            folder, packed = Path(temporary) / "folder", Path(temporary) / "packed"
            folder.mkdir()
            data.save(folder)
            with tarfile.open(packed, "w") as tar:
                tar.add(folder, arcname=".")
            self._fs.put_file(str(packed), self._tar)

    def _exists(self) -> bool:
        if self._folder is not None:
            return self._folder.is_dir()
        return bool(self._fs.isfile(self._tar))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "model": self._model}


def _replace(folder: Path, data: SavesToFolder) -> None:
    fresh = folder.with_name(f"{folder.name}.new")
    old = folder.with_name(f"{folder.name}.old")
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh.mkdir(parents=True)
    data.save(fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
