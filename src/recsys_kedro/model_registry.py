"""What happens in MLflow's model registry: log, register, try out, move the alias, read back."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from pydantic import ValidationError

import recsys_kedro
from recsys_kedro import columns as c
from recsys_kedro.model_card import ModelCard
from recsys_kedro.models.base import Recommender
from recsys_kedro.models.registry import MODELS, AnyModel
from recsys_kedro.promotion import Recipe
from recsys_kedro.ranking.onboarding import Quiz
from recsys_kedro.serving import pyfunc_model
from recsys_kedro.serving.model_slates import UNKNOWN_USER
from recsys_kedro.serving.registered_models import (
    CHAMPION,
    champion_version,
    missing_champion,
    registered_name,
    version_with_alias,
)
from recsys_kedro.serving.snapshot import HISTORIES_FILE, ServingSnapshot
from recsys_kedro.serving.variants import registered_folder

CHALLENGER = "challenger"
REPLACED = "replaced_champion"  # tag: the version that was champion before
RECIPE_MODEL = "recipe.model"
RECIPE_SETTINGS = "recipe.settings"
NEEDED_TO_SERVE = (
    "implicit", "mlflow", "narwhals", "numpy", "orjson", "pandera", "polars", "prometheus-client",
    "pyarrow", "pydantic", "pydantic-settings", "python-dateutil", "pyyaml", "redis", "safetensors",
    "scipy", "threadpoolctl", "torch", "tqdm",
)  # fmt: skip
RUN_TAGS = ("git.commit", "git.dirty", "raw_events.sha256")
SMOKE_K = 5
NOBODY = "somebody nobody has seen"


def champion_recipe(shop: str) -> Recipe:
    """The recipe of the champion; an empty one where the registry has none.

    Settings that were added since are filled with their defaults, so that an old recipe can be
    compared with a new one.

    Raises:
        ValueError: if this code cannot fit the champion's recipe.
    """
    found = champion_version(registered_name(shop))
    if found is None:
        return Recipe()
    try:
        model = found.tags[RECIPE_MODEL]
        options = MODELS[model].options_type.model_validate_json(found.tags[RECIPE_SETTINGS])
    except (KeyError, ValidationError) as error:
        msg = (
            f"The champion of {found.name} (version {found.version}) has a recipe that this code "
            f"cannot fit, so nothing can be compared with it: {error}. Restore the model or the "
            f"setting, or take the alias '{CHAMPION}' off that version to start anew."
        )
        raise ValueError(msg) from error
    return Recipe(model=model, settings=options.model_dump(mode="json"))


def champion_model(shop: str) -> Recommender:
    """The model that is served now, with the products and users that it was fitted on.

    Raises:
        ValueError: if the registry has no champion of the shop.
    """
    name = registered_name(shop)
    missing = missing_champion(name)
    if missing is not None:
        raise ValueError(missing)
    return AnyModel.load(registered_folder(name, CHAMPION)[0])


def register(
    model: Recommender, snapshot: ServingSnapshot, quiz: Quiz, card: ModelCard
) -> dict[str, Any]:
    """Log the model as a pyfunc from code and register it.

    The alias ``champion`` moves to it if the gate passed and it answers a known and an unknown
    user; otherwise it is the ``challenger``, and serves nobody.

    Returns:
        ``name, version, alias, answered``.

    Raises:
        RuntimeError: if it was to be promoted and does not answer.
    """
    registered, faults = _logged(model, snapshot, quiz, card)
    return _place(registered, promote=card.promotion.promote, faults=faults)


def register_as(
    alias: str, model: Recommender, snapshot: ServingSnapshot, quiz: Quiz, card: ModelCard
) -> str:
    """Log and register a model under an alias for A/B tests or a season; returns its version.

    Raises:
        ValueError: if the alias is one that the gate gives.
        RuntimeError: if the model does not answer; the alias stays where it was.
    """
    if alias in (CHAMPION, CHALLENGER):
        msg = f"alias '{alias}' is given by the gate, see `register`; choose another one"
        raise ValueError(msg)
    registered, faults = _logged(model, snapshot, quiz, card)
    version = str(registered.version)
    if faults:
        msg = (
            f"{registered.name} version {version} does not answer: {'; '.join(faults)}. "
            f"The alias '{alias}' stays where it was."
        )
        raise RuntimeError(msg)
    mlflow.MlflowClient().set_registered_model_alias(registered.name, alias, version)
    return version


def take_off(shop: str, alias: str) -> str | None:
    """Take an alias off the version that has it; which one that was, None where none had."""
    name = registered_name(shop)
    found = version_with_alias(name, alias)
    if found is None:
        return None
    mlflow.MlflowClient().delete_registered_model_alias(name, alias)
    return str(found.version)


def _logged(
    model: Recommender, snapshot: ServingSnapshot, quiz: Quiz, card: ModelCard
) -> tuple[ModelVersion, list[str]]:
    """The new version, without an alias, and what is wrong with its answers."""
    name, known_user = registered_name(card.shop), _somebody(snapshot)
    with _run(card.shop) as run_tags, tempfile.TemporaryDirectory() as temporary:
        parts = {part: Path(temporary) / part for part in pyfunc_model.PARTS}
        model.save(parts[pyfunc_model.MODEL])
        snapshot.save(parts[pyfunc_model.SNAPSHOT])
        quiz.save(parts[pyfunc_model.QUIZ])
        origin = _origin(parts[pyfunc_model.SNAPSHOT], snapshot, run_tags)
        text = card.as_markdown(origin)
        mlflow.log_text(text, "model_card.md")
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=pyfunc_model.__file__,
            artifacts={part: str(path) for part, path in parts.items()},
            model_config={pyfunc_model.SHOP: card.shop},
            code_paths=[str(Path(recsys_kedro.__file__).parent)],
            pip_requirements=_requirements(),
            input_example=[{c.USER_ID: known_user, "k": 10}],
            registered_model_name=name,
        )
    client = mlflow.MlflowClient()
    registered = client.get_model_version(name, str(logged.registered_model_version))
    client.update_model_version(name, registered.version, description=text)
    for key, value in (_recipe_tags(card) | origin).items():
        client.set_model_version_tag(name, registered.version, key, value)
    return registered, _faults(registered, known_user)


@contextmanager
def _run(shop: str) -> Iterator[dict[str, str]]:
    """The run that is open, or one of our own; its tags."""
    active = mlflow.active_run()
    if active is not None:
        yield dict(mlflow.get_run(active.info.run_id).data.tags)
        return
    mlflow.set_experiment(shop)
    with mlflow.start_run(run_name="register"):
        yield {}


def _requirements() -> list[str]:
    """What is installed here, without local parts such as ``+cpu``, which no index knows."""
    return [f"{package}=={version(package).split('+')[0]}" for package in NEEDED_TO_SERVE]


def _somebody(snapshot: ServingSnapshot) -> str:
    return str(snapshot.histories[c.USER_ID][0])


def _origin(folder: Path, snapshot: ServingSnapshot, run_tags: dict[str, str]) -> dict[str, str]:
    """What the model was made from, for its card and its tags."""
    events = (folder / HISTORIES_FILE).read_bytes()
    return {
        "as_of": snapshot.as_of.isoformat(),
        "events": str(snapshot.histories.height),
        "users": str(snapshot.histories[c.USER_ID].n_unique()),
        "products": str(snapshot.products.height),
        "events.sha256": hashlib.sha256(events).hexdigest(),
        **{tag: run_tags[tag] for tag in RUN_TAGS if tag in run_tags},
    }


def _recipe_tags(card: ModelCard) -> dict[str, str]:
    recipe = card.promotion.recipe
    figures = {
        f"validation.{name.replace('@', '_at_')}": f"{value:.6f}"
        for name, value in card.promotion.figures[recipe.model].items()
    }
    return {
        RECIPE_MODEL: recipe.model,
        RECIPE_SETTINGS: json.dumps(recipe.settings),
        **figures,
    }


def _faults(registered: ModelVersion, known_user: str) -> list[str]:
    """What is wrong with the registered model's answers to a known and an unknown user."""
    path = list(sys.path)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{registered.name}/{registered.version}")
        answers = loaded.predict(
            [
                {c.USER_ID: user, "k": SMOKE_K, "filter_purchased": False}
                for user in (known_user, NOBODY)
            ]
        )
    except Exception as error:  # whatever it is, this model must not be served
        return [f"{type(error).__name__}: {error}"]
    finally:
        sys.path[:] = path  # MLflow leaves the model's copy of the code in front
    return [
        f"user '{answer['user_id']}': {len(answer['items'])} products, fallback "
        f"{answer['fallback']}, error {answer['error']}"
        for answer, allowed in zip(answers, (None, UNKNOWN_USER), strict=True)
        if answer["error"] or not answer["items"] or answer["fallback"] != allowed
    ]


def _place(registered: ModelVersion, *, promote: bool, faults: list[str]) -> dict[str, Any]:
    """Give the version its alias; a new champion remembers which it took the place of."""
    client, name = mlflow.MlflowClient(), registered.name
    alias = CHAMPION if promote and not faults else CHALLENGER
    before = champion_version(name)
    if alias == CHAMPION and before is not None:
        client.set_model_version_tag(name, registered.version, REPLACED, before.version)
    client.set_registered_model_alias(name, alias, registered.version)
    if promote and faults:
        msg = (
            f"{name} version {registered.version} passed the gate but does not answer: "
            f"{'; '.join(faults)}. The champion stays; the version has the alias {CHALLENGER}."
        )
        raise RuntimeError(msg)
    return {
        "name": name,
        "version": str(registered.version),
        "alias": alias,
        "answered": not faults,
    }


def roll_back(shop: str) -> dict[str, Any]:
    """Make the version that the champion took the place of champion again.

    Returns:
        ``name, version, instead_of``.

    Raises:
        ValueError: if there is no champion, or it was the first.
    """
    name = registered_name(shop)
    champion = champion_version(name)
    if champion is None:
        msg = f"There is no champion of {name} to roll back: train one first with `make run`."
        raise ValueError(msg)
    before = champion.tags.get(REPLACED)
    if before is None:
        msg = (
            f"Version {champion.version} of {name} is the first champion: there is none before it. "
            f"Give another version the alias '{CHAMPION}' by hand if you have one."
        )
        raise ValueError(msg)
    mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, before)
    return {"name": name, "version": before, "instead_of": str(champion.version)}
