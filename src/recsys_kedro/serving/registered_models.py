"""What the registry has to serve: the champion, and what other aliases point to."""

from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

CHAMPION = "champion"
SQLITE = "sqlite:///"
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def registered_name(shop: str) -> str:
    """What the registry calls the model of a shop."""
    return f"recsys_{shop}"


def champion_version(model: str) -> ModelVersion | None:
    """The version with the alias ``champion``; see :func:`version_with_alias`."""
    return version_with_alias(model, CHAMPION)


def version_with_alias(model: str, alias: str) -> ModelVersion | None:
    """The version with an alias; None where the registry has none.

    Raises:
        MlflowException: if the registry does not answer: that is no "none".
    """
    try:
        return mlflow.MlflowClient().get_model_version_by_alias(model, alias)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise


def missing_champion(model: str) -> str | None:
    """Why ``model`` cannot be served, in one sentence; None if it can.

    Looks at the tracking database in use, and never makes one.
    """
    uri = mlflow.get_tracking_uri()
    has_file = not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).is_file()
    if has_file and champion_version(model) is not None:
        return None
    return f"There is no champion of {model} in {uri}: train one first with `make run`."
