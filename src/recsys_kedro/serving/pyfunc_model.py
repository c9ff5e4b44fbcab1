"""The model that ``mlflow models serve`` loads: logged as this file, not as a pickle."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.utils.yaml_utils import read_yaml

from recsys_kedro.models.registry import AnyModel
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.requests import RequestAtTheEdge
from recsys_kedro.serving.snapshot import ServingSnapshot

MODEL = "model"
SNAPSHOT = "snapshot"
UNREGISTERED = "unregistered"


class ServedRecommender(PythonModel):
    """Reads its folders once, then answers batches of requests."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read model and tables from the artifacts."""
        folder = Path(context.artifacts[MODEL])
        self._service = RecommenderService(
            AnyModel.load(folder),
            ServingSnapshot.load(Path(context.artifacts[SNAPSHOT])),
            registered_version(folder),
        )

    # MLflow looks at the type of `model_input`, and then passes no context.
    def predict(  # type: ignore[override]
        self, model_input: list[RequestAtTheEdge], params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One answer per request, see ``serving.requests``. The clock is read here only."""
        requests = [
            {name: value for name, value in request.model_dump().items() if value is not None}
            for request in model_input
        ]
        answers = self._service.answer(requests, datetime.now(UTC))
        return [answer.model_dump(mode="json") for answer in answers]


def registered_version(artifact: Path) -> str:
    """The version that the registry gave to the model of this artifact.

    MLflow writes it beside what it downloads from the registry.
    """
    for folder in artifact.parents[:2]:
        if (folder / REGISTERED_MODEL_META_FILE_NAME).is_file():
            # This function of MLflow has no types.
            about = read_yaml(str(folder), REGISTERED_MODEL_META_FILE_NAME)  # type: ignore[no-untyped-call]
            return str(about["model_version"])
    return UNREGISTERED


mlflow.models.set_model(ServedRecommender())
