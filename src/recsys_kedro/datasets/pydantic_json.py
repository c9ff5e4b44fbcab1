"""A Pydantic model kept as a JSON file."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from pydantic import BaseModel

from recsys_kedro.datasets.filesystem import located


class PydanticJSONDataset(AbstractDataset[BaseModel, BaseModel]):
    """Saves a Pydantic model as readable JSON and checks it on load.

    Example of a catalog entry::

        evaluation:
          type: recsys_kedro.datasets.pydantic_json.PydanticJSONDataset
          filepath: data/08_reporting/evaluation.json
          model: recsys_kedro.pipelines.evaluation.options.Evaluation
    """

    def __init__(
        self, *, filepath: str, model: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """Name the file and the class.

        Args:
            filepath: on any filesystem that fsspec knows; a local folder is made on save.
            model: dotted path of the Pydantic class.
            metadata: ignored here; read by plugins such as Kedro-Viz.
        """
        self._filepath = filepath
        self._fs, self._path = located(filepath)
        self._model = model
        self.metadata = metadata

    def load(self) -> BaseModel:
        """Read the file and check it against the class."""
        if not self._exists():
            msg = (
                f"{self._filepath} does not exist (it holds a {self._model}). "
                "Run the pipeline that makes it first."
            )
            raise DatasetError(msg)
        return self._class().model_validate_json(self._fs.cat_file(self._path))

    def save(self, data: BaseModel) -> None:
        """Write ``data``; another class than the declared one is an error."""
        if not isinstance(data, self._class()):
            msg = f"{self._filepath} holds a {self._model}, not a {type(data).__name__}."
            raise DatasetError(msg)
        self._fs.pipe_file(self._path, f"{data.model_dump_json(indent=2)}\n".encode())

    def _class(self) -> type[BaseModel]:
        found: type[BaseModel] = load_obj(self._model)
        return found

    def _exists(self) -> bool:
        return bool(self._fs.isfile(self._path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "model": self._model}
