"""The declared experiments of a shop, read only."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from recsys_kedro.experiments.declarations import Experiments, read_experiments


class ExperimentsDataset(AbstractDataset[NoReturn, Experiments]):
    """The YAML file that servers read too, checked; cannot be saved.

    Example in a catalog::

        experiments:
          type: recsys_kedro.datasets.experiments.ExperimentsDataset
          filepath: conf/base/experiments.yml
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file.

        Args:
            filepath: a local file.
            metadata: kept for Kedro's plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Experiments:
        """Read and check the declarations.

        Raises:
            DatasetError: there is no such file, or it declares something impossible.
        """
        if not self._filepath.is_file():
            msg = (
                f"{self._filepath} does not exist. Write one like conf/base/experiments.yml, "
                "which has an example, or set `experiments` in the globals.yml of the environment"
            )
            raise DatasetError(msg)
        try:
            return read_experiments(self._filepath)
        except ValueError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: NoReturn) -> NoReturn:
        """Refused: people declare experiments."""
        msg = f"{self._filepath}: declarations of experiments are read only"
        raise DatasetError(msg)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
