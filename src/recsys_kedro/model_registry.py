"""What happens in MLflow's model registry: log, register, try out, move the alias."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

import recsys_kedro
from recsys_kedro import columns as c
from recsys_kedro.fitting import SCORE
from recsys_kedro.models.base import Recommender
from recsys_kedro.options import Options
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.serving import pyfunc_model
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.splits import TimeSplit

CHAMPION = "champion"
CHALLENGER = "challenger"
RECIPE_MODEL = "recipe.model"
RECIPE_SETTINGS = "recipe.settings"
NEEDED_TO_SERVE = (
    "implicit", "mlflow", "narwhals", "numpy", "pandera", "polars", "pydantic", "safetensors",
    "scipy", "threadpoolctl", "torch", "tqdm",
)  # fmt: skip
SMOKE_K = 5
NOBODY = "somebody nobody has seen"


class ModelCard(Options):
    """What a reader has to know of a registered model."""

    shop: str
    split: TimeSplit
    promotion: Promotion
    evaluation: dict[str, Any]

    def as_markdown(self, model: Recommender) -> str:
        """The card as text."""
        recipe, split = self.promotion.recipe, self.split
        simulated = self.shop.startswith(("simulated", "test"))
        figures = self.promotion.figures[recipe.model]
        tested = {
            task: result["models"][recipe.model]["ndcg@10"]
            for task, result in self.evaluation["tasks"].items()
        }
        lines = [
            f"# {registered_name(self.shop)}: {model.name}",
            "",
            "Data of a simulated shop." if simulated else f"Data of the shop `{self.shop}`.",
            f"Fitted on all events before {split.as_of.isoformat()}.",
            "",
            f"- Validation, {split.validation_start:%Y-%m-%d} to {split.test_start:%Y-%m-%d}: "
            f"mean NDCG@10 {figures[SCORE]:.4f}",
            *(
                f"- Test, {split.test_start:%Y-%m-%d} to {split.end:%Y-%m-%d}, task {task}: "
                f"NDCG@10 {value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
                for task, value in tested.items()
            ),
            "",
            "The figures are those of the same recipe, fitted before each window; the model "
            "itself has seen all of the data. Full ranking over the catalogue.",
            "",
            "## Why it was chosen",
            *(f"- {reason}" for reason in self.promotion.reasons),
            "",
            "## Use and limits",
            "Ranks the products of this shop for its users. Users without any event get popular "
            "products. It knows nothing that happened after its data; recent events may come "
            "with a request. Not meant for decisions about people.",
            "",
            "## Settings",
            f"```json\n{json.dumps(recipe.settings, indent=2)}\n```",
        ]
        return "\n".join(lines)


def registered_name(shop: str) -> str:
    """What the registry calls the model of a shop."""
    return f"recsys_{shop}"


def champion_recipe(shop: str) -> Recipe:
    """The recipe of the champion; an empty one where the registry has none."""
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(registered_name(shop), CHAMPION)
    except MlflowException:
        return Recipe()
    return Recipe(model=found.tags[RECIPE_MODEL], settings=json.loads(found.tags[RECIPE_SETTINGS]))


def register(model: Recommender, snapshot: ServingSnapshot, card: ModelCard) -> dict[str, Any]:
    """Log the model as a pyfunc from code and register it.

    The alias ``champion`` moves to it if the gate passed and it answers a known and an unknown
    user; otherwise it is the ``challenger``.

    Returns:
        ``name, version, alias, answered`` and the smoke answers' lengths.

    Raises:
        RuntimeError: if it was to be promoted and does not answer.
    """
    name = registered_name(card.shop)
    with _run(card.shop), tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / pyfunc_model.MODEL)
        snapshot.save(Path(folder) / pyfunc_model.SNAPSHOT)
        mlflow.log_text(card.as_markdown(model), "model_card.md")
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=pyfunc_model.__file__,
            artifacts={
                part: str(Path(folder) / part)
                for part in (pyfunc_model.MODEL, pyfunc_model.SNAPSHOT)
            },
            code_paths=[str(Path(recsys_kedro.__file__).parent)],
            pip_requirements=[
                f"{package}=={_public(version(package))}" for package in NEEDED_TO_SERVE
            ],
            input_example=[{c.USER_ID: _somebody(snapshot), "k": 10}],
            model_config={pyfunc_model.VERSION: snapshot.as_of.isoformat()},
            registered_model_name=name,
        )
    registered = mlflow.MlflowClient().get_model_version(name, str(logged.registered_model_version))
    _tag(registered, card)
    answers = _smoke(registered, _somebody(snapshot))
    return _place(registered, card, answers)


@contextmanager
def _run(shop: str) -> Iterator[None]:
    """The run that is open, or one of our own."""
    if mlflow.active_run() is not None:
        yield
        return
    mlflow.set_experiment(shop)
    with mlflow.start_run(run_name="register"):
        yield


def _public(installed: str) -> str:
    """The version without a local part such as ``+cpu``, which no index knows."""
    return installed.split("+")[0]


def _somebody(snapshot: ServingSnapshot) -> str:
    return str(snapshot.histories[c.USER_ID][0])


def _tag(registered: ModelVersion, card: ModelCard) -> None:
    recipe = card.promotion.recipe
    tags = {
        RECIPE_MODEL: recipe.model,
        RECIPE_SETTINGS: json.dumps(recipe.settings),
        "as_of": card.split.as_of.isoformat(),
        "validation.mean_ndcg_at_10": f"{card.promotion.figures[recipe.model][SCORE]:.6f}",
    }
    client = mlflow.MlflowClient()
    for key, value in tags.items():
        client.set_model_version_tag(registered.name, registered.version, key, value)


def _smoke(registered: ModelVersion, known_user: str) -> list[dict[str, Any]]:
    """The answers of the registered model to a known and an unknown user."""
    loaded = mlflow.pyfunc.load_model(f"models:/{registered.name}/{registered.version}")
    requests = [{c.USER_ID: user, "k": SMOKE_K} for user in (known_user, NOBODY)]
    answers: list[dict[str, Any]] = loaded.predict(requests)
    return answers


def _place(
    registered: ModelVersion, card: ModelCard, answers: list[dict[str, Any]]
) -> dict[str, Any]:
    answered = all(answer["items"] and not answer["error"] for answer in answers)
    promote = card.promotion.promote and answered
    alias = CHAMPION if promote else CHALLENGER
    mlflow.MlflowClient().set_registered_model_alias(registered.name, alias, registered.version)
    if card.promotion.promote and not answered:
        msg = (
            f"{registered.name} version {registered.version} does not answer a smoke request: "
            f"{answers}. The champion stays; the version has the alias {CHALLENGER}."
        )
        raise RuntimeError(msg)
    return {
        "name": registered.name,
        "version": str(registered.version),
        "alias": alias,
        "answered": answered,
    }
