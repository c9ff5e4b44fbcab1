"""The model that ``mlflow models serve`` loads: logged as this file, not as a pickle."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.utils.yaml_utils import read_yaml

from recsys_kedro.serving.assembly import Parts, assemble
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.requests import RequestAtTheEdge

LOGGER = logging.getLogger(__name__)

MODEL = "model"
SNAPSHOT = "snapshot"
QUIZ = "quiz"
PARTS = (MODEL, SNAPSHOT, QUIZ)
SHOP = "shop"
UNREGISTERED = "unregistered"


class ServedRecommender(PythonModel):
    """Reads its folders once, then answers batches of requests."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read model and tables from the artifacts; options from the environment."""
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        config = context.model_config or {}
        parts = Parts(
            paths[MODEL],
            paths[SNAPSHOT],
            paths.get(QUIZ),
            config.get(SHOP, ""),
            registered_version(paths[MODEL]),
        )
        self._service = assemble(parts, ServingOptions())
        self._turn = Lock()

    # MLflow looks at the type of `model_input`, and then passes no context.
    def predict(  # type: ignore[override]
        self, model_input: list[RequestAtTheEdge], params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One answer per request, see ``serving.requests``. The clock is read here only."""
        requests = [
            {name: value for name, value in request.model_dump().items() if value is not None}
            for request in model_input
        ]
        # In turn: threads that compute side by side only slow each other down.
        with self._turn:
            return self._answered(requests)

    def _answered(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            answers = self._service.answer(requests, datetime.now(UTC))
        except Exception:
            # The server would send the whole traceback to whoever asked.
            LOGGER.exception("%d requests could not be answered", len(requests))
            answers = [self._service.apology(request) for request in requests]
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
