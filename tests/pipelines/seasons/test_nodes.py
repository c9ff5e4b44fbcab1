"""From a champion and a declared season to the model that a server picks by the date."""

import mlflow
import narwhals as nw
import pytest

from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features
from recsys_kedro.fitting import fit_model
from recsys_kedro.model_card import ModelCard
from recsys_kedro.model_registry import register
from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.pipelines.seasons import create_pipeline, nodes
from recsys_kedro.promotion import Promotion, Recipe
from recsys_kedro.ranking.onboarding import Quiz
from recsys_kedro.season_backtest import LearnedFrom
from recsys_kedro.seasons import Season, SeasonsOptions
from recsys_kedro.serving.registered_models import CHAMPION, version_with_alias
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.training_lists import SamplingOptions

# Logging a model passes through MLflow's own code, which warns of itself.
pytestmark = pytest.mark.filterwarnings("default")

NAME, SEED = "recsys_corner", 1
QUIZ = Quiz(event_type="purchase", questions=())
FEATURES = FeatureOptions()
SAMPLING = SamplingOptions(window_queries=15, session_queries=5, list_negatives=20)
SETTINGS = HybridOptions.model_validate(
    {"training": {"epochs": 1, "batch_size": 32}, "list_size": 32, "snapshots": 3}
).model_dump(mode="json")
SUMMER = {"first": "08-01", "last": "09-15"}


def declared(**changes):
    return SeasonsOptions.model_validate({"named": {"summer": SUMMER}, **changes})


@pytest.fixture(scope="module")
def tables(old_shop):
    return old_shop[:4]


@pytest.fixture(scope="module")
def served_from(old_shop):
    """Product features, user features, the split, the quiz."""
    events, products, users = (nw.from_native(table.lazy()) for table in old_shop[:3])
    as_of = old_shop.split.as_of
    of_products = product_features(events, products, as_of, FEATURES).collect().to_native()
    of_users = user_features(events, products, users, as_of, FEATURES).collect().to_native()
    return of_products, of_users, old_shop.split, QUIZ


@pytest.fixture(scope="module")
def champion(old_shop, tables, served_from, tmp_path_factory):
    """The version of a hybrid that is champion, in a registry of its own."""
    folder = tmp_path_factory.mktemp("tracking")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("corner", artifact_location=(folder / "artifacts").as_uri())
    learned_from = LearnedFrom(*old_shop, SAMPLING, FEATURES, SEED)
    data = learned_from.data(
        old_shop.split.as_of, Season(first="01-01", last="01-01"), HybridOptions(snapshots=3)
    )
    promotion = Promotion(
        promote=True,
        recipe=Recipe(model="hybrid", settings=SETTINGS),
        champion=Recipe(),
        reasons=[],
        figures={"hybrid": dict.fromkeys(("all_ndcg@10", "new_ndcg@10", "mean_ndcg@10"), 0.1)},
        against_champion=None,
    )
    card = ModelCard(
        shop="corner", split=old_shop.split, promotion=promotion, evaluation={"tasks": {}}
    )
    snapshot = ServingSnapshot.of(*old_shop[:2], *served_from[:2], old_shop.split.as_of)
    model = fit_model("hybrid", SETTINGS, data, SEED)
    yield register(model, snapshot, QUIZ, card)["version"]
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def registered(champion, tables, served_from):
    """What a run with some options makes."""

    def run(**changes):
        options = declared(**changes)
        served = nodes.read_served_recipe("corner", options)
        split = served_from[2]
        report = nodes.judge_seasons(served, *tables, split, options, SAMPLING, FEATURES, SEED)
        made = nodes.register_seasons(
            report, *tables, *served_from, options, SAMPLING, FEATURES, SEED, "corner"
        )
        return report, made["summer"]

    return run


def test_a_season_that_passed_answers_in_it(registered, champion, tmp_path, monkeypatch):
    report, made = registered(margin=1.0)
    assert report.served.settings == SETTINGS
    assert made["alias"] == "season_summer"
    found = version_with_alias(NAME, "season_summer")
    assert found is not None
    assert str(found.version) == made["version"] != champion
    assert "Season summer. Difference to the served recipe" in found.description
    assert "Validation, 2024-08" in found.description
    assert str(version_with_alias(NAME, CHAMPION).version) == champion
    file = tmp_path / "parameters_seasons.yml"
    file.write_text("seasons: {named: {summer: {first: 08-01, last: 09-15}}}")
    monkeypatch.setenv("RECSYS_SEASONS_FILE", str(file))
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
    times = [f"2025-{day}T12:00:00Z" for day in ("07-31", "08-01", "09-15", "09-16")]
    answers = served.predict([{"user_id": "u1", "context": {"time": time}} for time in times])
    versions = [answer["model_version"] for answer in answers]
    assert versions == [champion, made["version"], made["version"], champion]
    assert all(answer["items"] for answer in answers)


def test_a_season_that_failed_loses_the_alias(registered, monkeypatch):
    _, before = registered(margin=1.0)
    monkeypatch.setattr(
        nodes,
        "judge_season",
        lambda name, _, served, __: nodes.SeasonVerdict(
            season=name, alias="season_summer", passed=False, reason="worse", recipe=served
        ),
    )
    report, made = registered()
    assert report.seasons[0].reason == "worse"
    assert made == {
        "alias": "season_summer", "version": None, "taken_off": before["version"],
    }  # fmt: skip
    assert version_with_alias(NAME, "season_summer") is None
    assert registered()[1]["taken_off"] is None


def test_without_seasons_nothing_is_done(tables, served_from):
    none = SeasonsOptions()
    served = nodes.read_served_recipe("nobody's shop", none)
    split = served_from[2]
    report = nodes.judge_seasons(served, *tables, split, none, SAMPLING, FEATURES, SEED)
    assert (report.served, report.seasons) == (Recipe(), [])
    arguments = (*tables, *served_from, none, SAMPLING, FEATURES, SEED, "nobody's shop")
    assert nodes.register_seasons(report, *arguments) == {}


def test_without_a_champion_the_error_says_what_to_run(champion):
    with pytest.raises(ValueError, match=r"no champion of recsys_unheard_of.*make run"):
        nodes.read_served_recipe("unheard_of", declared())


def test_it_reads_nothing_of_the_evaluation():
    pipeline = create_pipeline()
    assert pipeline.inputs() >= {"events", "product_snapshots", "split", "onboarding_quiz"}
    judged = ("test_", "validation_", "training_lists", "evaluation")
    assert not [name for name in pipeline.inputs() if name.startswith(judged)]
    assert pipeline.outputs() == {"season_registrations"}
