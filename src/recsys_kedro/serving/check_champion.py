"""``python -m recsys_kedro.serving.check_champion <model>``: is there anything to serve?"""

import sys
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

ALIAS = "champion"
SQLITE = "sqlite:///"


def missing_champion(model: str) -> str | None:
    """Why ``model`` cannot be served, in one sentence; None if it can.

    Looks at the tracking database in use, and never makes one.
    """
    uri = mlflow.get_tracking_uri()
    advice = f"There is no champion of {model} in {uri}: train one first with `make run`."
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return advice
    try:
        mlflow.MlflowClient().get_model_version_by_alias(model, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return advice
        raise
    return None


if __name__ == "__main__":
    sys.exit(missing_champion(sys.argv[1]))
