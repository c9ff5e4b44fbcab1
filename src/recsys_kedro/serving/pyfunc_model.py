"""The model that ``mlflow models serve`` loads: logged as this file, not as a pickle."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from recsys_kedro.models.registry import AnyModel
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.requests import RequestAtTheEdge
from recsys_kedro.serving.snapshot import ServingSnapshot

MODEL = "model"
SNAPSHOT = "snapshot"
VERSION = "version"


class ServedRecommender(PythonModel):
    """Reads its folders once, then answers batches of requests."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read model and tables from the artifacts."""
        self._service = RecommenderService(
            AnyModel.load(Path(context.artifacts[MODEL])),
            ServingSnapshot.load(Path(context.artifacts[SNAPSHOT])),
            str(context.model_config[VERSION]),
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


mlflow.models.set_model(ServedRecommender())
