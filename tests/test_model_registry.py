"""A model into the registry and out again, on the small shop, in a database of its own."""

import json

import mlflow
import narwhals as nw
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from recsys_kedro import columns as c
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.model_card import ModelCard
from recsys_kedro.model_registry import (
    CHALLENGER,
    RECIPE_SETTINGS,
    champion_model,
    champion_recipe,
    register,
    register_as,
    roll_back,
    take_off,
)
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.ranking.onboarding import Quiz
from recsys_kedro.serving import assembly
from recsys_kedro.serving.registered_models import CHAMPION
from recsys_kedro.serving.snapshot import ServingSnapshot

NO_QUIZ = Quiz(event_type="purchase", questions=())

NAME = "recsys_corner"
SETTINGS = ItemKNNOptions(neighbours=20).model_dump(mode="json")
NO_CODE = {".arrow", ".json", ".npy", ".npz", ".parquet", ".txt", ".yaml", ".md", ""}

# Logging a model passes through MLflow's own code, which warns of itself.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("corner", artifact_location=(folder / "artifacts").as_uri())
    yield folder
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def model(shop, shop_events, shop_split):
    data = TrainingData(
        shop_events, shop.products, shop.users, shop_split.as_of, shop_split.target_event_types
    )
    return ItemKNN.fit(data, ItemKNNOptions.model_validate(SETTINGS), seed=1)


@pytest.fixture(scope="module")
def snapshot(shop, shop_events, shop_split):
    events, products, users = (
        nw.from_native(table.lazy()) for table in (shop_events, shop.products, shop.users)
    )
    as_of, options = shop_split.as_of, FeatureOptions()
    return ServingSnapshot.of(
        shop_events,
        shop.products,
        product_features(events, products, as_of, options).collect().to_native(),
        user_features(events, products, users, as_of, options).collect().to_native(),
        as_of,
    )


@pytest.fixture(scope="module")
def card(shop_split):
    def make(*, promote):
        figures = {"all_ndcg@10": 0.3, "new_ndcg@10": 0.1, "mean_ndcg@10": 0.2}
        tested = {"models": {"item_knn": {"ndcg@10": {"value": 0.25, "low": 0.2, "high": 0.3}}}}
        return ModelCard(
            shop="corner",
            split=shop_split,
            promotion=Promotion(
                promote=promote,
                recipe=Recipe(model="item_knn", settings=SETTINGS),
                champion=Recipe(),
                reasons=["item_knn is best"],
                figures={"item_knn": figures},
                against_champion=None,
            ),
            evaluation={"tasks": {"all": tested}},
        )

    return make


@pytest.fixture(scope="module")
def champion(tracking, model, snapshot, card):
    return register(model, snapshot, NO_QUIZ, card(promote=True))


def version_of(alias):
    return mlflow.MlflowClient().get_model_version_by_alias(NAME, alias)


def test_first_model_is_champion(champion):
    assert champion == {"name": NAME, "version": "1", "alias": CHAMPION, "answered": True}
    assert version_of(CHAMPION).version == 1


def test_a_server_takes_the_models_of_its_tests_out_of_the_registry(
    champion, tmp_path, monkeypatch
):
    mlflow.MlflowClient().set_registered_model_alias(NAME, "control", champion["version"])
    tests = tmp_path / "experiments.yml"
    tests.write_text(
        "layers: {models: {experiments: {model: {start: 2025-03-03T00:00:00Z, "
        "end: 2025-03-31T00:00:00Z, control: old, variants: {old: {model: control}, new: {}}}}}}"
    )
    monkeypatch.setenv("RECSYS_EXPERIMENTS_FILE", str(tests))
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
    during = {"time": "2025-03-04T00:00:00Z"}
    answers = served.predict([{"user_id": f"u{n}", "context": during} for n in range(9)])
    assert {answer["variants"]["model"] for answer in answers} == {"old", "new"}
    assert {answer["model_version"] for answer in answers} == {"1"}
    tests.write_text(tests.read_text().replace("model: control", "model: nobody"))
    with pytest.raises(ValueError, match="has no version with the alias 'nobody'"):
        mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")


def test_logged_model_is_code_and_plain_data(champion, tracking):
    (root,) = {path.parent for path in tracking.rglob("MLmodel")}
    data = [path for path in root.rglob("*") if path.is_file() and "code" not in path.parts]
    assert {path.name for path in data} >= {"pyfunc_model.py", "histories.arrow", "model.json"}
    others = [path for path in data if path.name not in {"MLmodel", "pyfunc_model.py"}]
    assert {path.suffix for path in others} <= NO_CODE | {".safetensors"}
    for path in (path for path in data if path.suffix in {".npy", ".npz"}):
        np.load(path, allow_pickle=False)
    code = [path for path in (root / "code").rglob("*") if path.is_file()]
    assert not [path.name for path in code if path.suffix in {".pkl", ".pickle", ".pt", ".pyc"}]
    assert "torch==" in (root / "requirements.txt").read_text()
    assert "+cpu" not in (root / "requirements.txt").read_text()
    assert "signature" in (root / "MLmodel").read_text()
    assert json.loads((root / "serving_input_example.json").read_text())["inputs"]


def test_registered_version_tells_where_it_comes_from(champion, snapshot, shop_split):
    found = version_of(CHAMPION)
    assert found.tags["events"] == str(snapshot.histories.height)
    assert len(found.tags["events.sha256"]) == 64
    assert found.tags["validation.mean_ndcg_at_10"] == "0.200000"
    assert f"before {shop_split.as_of.isoformat()}" in found.description
    assert "NDCG@10 0.2500 (0.2000 to 0.3000)" in found.description
    assert "item_knn is best" in found.description


def test_champion_comes_back_as_recipe_and_as_model(champion, model):
    assert champion_recipe("corner") == Recipe(model="item_knn", settings=SETTINGS)
    assert champion_recipe("nobodys_shop") == Recipe()
    assert (champion_model("corner").neighbours != model.neighbours).nnz == 0
    with pytest.raises(ValueError, match="no champion of recsys_nobodys_shop"):
        champion_model("nobodys_shop")


def test_answers_name_the_version_of_the_registry(champion, shop_events):
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
    user = shop_events[c.USER_ID][0]
    known, unknown, bad = served.predict(
        [{"user_id": user, "k": 3}, {"user_id": "nobody"}, {"user_id": user, "k": -1}]
    )
    assert (known["model"], known["model_version"], known["fallback"]) == ("item_knn", "1", None)
    assert len(known["items"]) == 3
    assert unknown["fallback"] == "unknown_user"
    assert bad["error"].startswith("k:")


def test_model_that_failed_the_gate_is_challenger(champion, model, snapshot, card):
    made = register(model, snapshot, NO_QUIZ, card(promote=False))
    assert made["alias"] == CHALLENGER
    assert str(version_of(CHALLENGER).version) == made["version"]
    assert version_of(CHAMPION).version == 1


def test_model_that_does_not_answer_never_gets_the_alias(
    champion, model, snapshot, card, monkeypatch
):
    def fail(*_, **__):
        raise RuntimeError("weights are gone")

    monkeypatch.setattr(ItemKNN, "recommend", fail)
    with pytest.raises(RuntimeError, match=r"passed the gate but does not answer.*model_failed"):
        register(model, snapshot, NO_QUIZ, card(promote=True))
    assert version_of(CHAMPION).version == 1


def test_registry_that_does_not_answer_is_not_an_empty_registry(champion, monkeypatch):
    def fail(*_):
        raise MlflowException("the server is down")

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", fail)
    with pytest.raises(MlflowException, match="down"):
        champion_recipe("corner")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"neighbours": 20}, Recipe(model="item_knn", settings=SETTINGS)), ({"gone": 1}, None)],
)
def test_recipe_of_an_older_code(champion, settings, expected):
    client, found = mlflow.MlflowClient(), version_of(CHAMPION)
    client.set_model_version_tag(NAME, found.version, RECIPE_SETTINGS, json.dumps(settings))
    if expected is None:
        with pytest.raises(ValueError, match=r"version 1\) has a recipe that this code cannot fit"):
            champion_recipe("corner")
    else:
        assert champion_recipe("corner").same_as(expected)


def test_in_an_open_run_the_model_is_of_that_run(tracking, model, snapshot, card):
    mlflow.set_experiment("corner")
    with mlflow.start_run(tags={"git.commit": "abc"}) as run:
        made = register(model, snapshot, NO_QUIZ, card(promote=False))
    found = mlflow.MlflowClient().get_model_version(NAME, made["version"])
    assert found.run_id == run.info.run_id
    assert found.tags["git.commit"] == "abc"
    assert int(found.tags["users"]) == snapshot.histories[c.USER_ID].n_unique()


def test_roll_back_to_the_champion_before(tracking, model, snapshot, card):
    """Last: it leaves more versions behind."""
    for version in mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'"):
        mlflow.MlflowClient().delete_model_version(NAME, version.version)
    first = register(model, snapshot, NO_QUIZ, card(promote=True))["version"]
    with pytest.raises(ValueError, match="is the first champion"):
        roll_back("corner")
    second = register(model, snapshot, NO_QUIZ, card(promote=True))["version"]
    assert str(version_of(CHAMPION).version) == second
    assert roll_back("corner") == {"name": NAME, "version": first, "instead_of": second}
    assert str(version_of(CHAMPION).version) == first
    with pytest.raises(ValueError, match="no champion of recsys_unheard_of"):
        roll_back("unheard_of")


def test_model_of_an_ab_test_has_an_alias_of_its_own(champion, model, snapshot, card, monkeypatch):
    before = version_of(CHAMPION).version
    version = register_as("popular", model, snapshot, NO_QUIZ, card(promote=True))
    assert str(version_of("popular").version) == version
    assert version_of(CHAMPION).version == before
    with pytest.raises(ValueError, match="alias 'champion' is given by the gate"):
        register_as(CHAMPION, model, snapshot, NO_QUIZ, card(promote=False))

    def fail(*_, **__):
        raise RuntimeError("weights are gone")

    monkeypatch.setattr(ItemKNN, "recommend", fail)
    with pytest.raises(RuntimeError, match=r"does not answer.*'popular' stays where it was"):
        register_as("popular", model, snapshot, NO_QUIZ, card(promote=False))
    assert str(version_of("popular").version) == version


def test_a_server_takes_the_models_of_its_seasons_out_of_the_registry(
    champion, model, snapshot, card, tmp_path, monkeypatch, caplog
):
    usual = str(version_of(CHAMPION).version)
    version = register_as("season_winter", model, snapshot, NO_QUIZ, card(promote=False))
    file = tmp_path / "parameters_seasons.yml"
    file.write_text(
        "seasons: {named: {winter: {first: 11-15, last: 01-06}, "
        "spring: {first: 03-01, last: 05-31}}}"
    )
    monkeypatch.setenv("RECSYS_SEASONS_FILE", str(file))

    def answered_by(*months):
        served = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
        times = [{"time": f"2025-{month}-20T00:00:00Z"} for month in months]
        answers = served.predict([{"user_id": "u1", "context": time} for time in times])
        return [answer["model_version"] for answer in answers]

    assert answered_by("12", "10", "04") == [version, usual, usual]
    told = [record.getMessage() for record in caplog.records if "season" in record.getMessage()]
    assert told == [
        f"season spring: {NAME} has no version with the alias season_spring, "
        "so the champion answers in it"
    ]
    assert take_off("corner", "season_winter") == version
    assert take_off("corner", "season_winter") is None
    assert answered_by("12") == [usual]
    register_as("season_winter", model, snapshot, NO_QUIZ, card(promote=False))
    monkeypatch.setattr(assembly, "registered_folder", lambda *_: (tmp_path / "nothing", version))
    assert answered_by("12") == [usual]
    assert "in its place serves the champion" in caplog.text
    file.write_text("seasons: {named: {winter: {first: 11-31, last: 01-06}}}")
    with pytest.raises(ValueError, match=r"(?s)parameters_seasons.yml: .*'11-31' is no day of any"):
        answered_by("12")
    take_off("corner", "season_winter")
