"""A typed model that does nothing: the floor of the scoring server, for comparison."""

from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel

from recsys_kedro.serving.requests import RequestAtTheEdge


class Nothing(PythonModel):
    """Answers each request with an empty list, in the shape of the real answer."""

    # MLflow looks at the type of `model_input`, and then passes no context.
    def predict(  # type: ignore[override]
        self, model_input: list[RequestAtTheEdge], params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return [{"items": [], "error": None} for _ in model_input]


mlflow.models.set_model(Nothing())
