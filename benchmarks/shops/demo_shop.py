"""The simulated shop of the A/B demo: its files, its runs, its models, its server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import mlflow
import polars as pl
import report
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from load.server import serving
from load.visits import Ask, asking

from recsys_kedro import columns as c
from recsys_kedro.experiments.declarations import Experiment, read_experiments
from recsys_kedro.experiments.results import ExperimentResult, ExperimentResults
from recsys_kedro.fitting import fit_model
from recsys_kedro.model_card import ModelCard
from recsys_kedro.model_registry import register_as
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.popularity import Popularity
from recsys_kedro.promotion import recipe_of
from recsys_kedro.serving.impression_files import read_impressions
from recsys_kedro.serving.registered_models import registered_name
from recsys_kedro.serving.snapshot import ServingSnapshot
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import period_start
from recsys_kedro.simulation.shop import Shop, simulate_shop

ENV = "ab_demo"
DATA = report.ROOT / "data" / ENV
EXPERIMENTS = report.ROOT / "conf" / ENV / "experiments.yml"
RESULTS = DATA / "08_reporting" / "experiment_results.json"
REPORT = DATA / "08_reporting" / "experiments.html"
IMPRESSIONS = DATA / "07_model_output" / "impressions"
TRACKING_URI = f"sqlite:///{DATA}/mlflow.db"
CONTROL = "control"  # alias of the model that the experiment names
SEED = 7
WORKERS = 2
EXPLORATION = 0.05  # so that the log can answer what other models would have earned
LEARNING = ("ingestion", "feature_engineering", "sampling", "training", "evaluation", "deployment")
JUDGING = ("ingestion", "ab_testing")


def the_experiment() -> tuple[str, Experiment]:
    """Name and declaration of the only one."""
    ((name, experiment),) = read_experiments(EXPERIMENTS).named.items()
    return name, experiment


def simulate(users: int) -> Shop:
    """A shop that is there for a day after the experiment: its log has to reach past the end."""
    options = SimulationOptions(
        users=users, products=800, categories=16, brands=60, events_per_user=32
    )
    days = (the_experiment()[1].end - period_start(options)).days + 1
    return simulate_shop(options.model_copy(update={"days": days}), SEED)


def write_tables(shop: Shop, until: datetime) -> None:
    """Start the environment anew, with the shop's products and users, and events before a time."""
    shutil.rmtree(DATA, ignore_errors=True)
    raw = DATA / "01_raw"
    raw.mkdir(parents=True)
    shop.products.write_parquet(raw / "products.parquet")
    shop.users.write_parquet(raw / "users.parquet")
    append_events(shop.events.filter(pl.col(c.TIMESTAMP) < until), "before")


def append_events(events: pl.DataFrame, name: str) -> None:
    """One more file of events."""
    events.write_parquet(DATA / "01_raw" / f"events_{name}.parquet")


def run(pipelines: tuple[str, ...]) -> None:
    """``kedro run --env=ab_demo --pipelines=…`` in this process."""
    bootstrap_project(report.ROOT)
    with KedroSession.create(project_path=report.ROOT, env=ENV) as session:
        session.run(pipeline_names=list(pipelines))
    while mlflow.active_run() is not None:  # kedro-mlflow enters the run again for each node
        mlflow.end_run()


def register_control() -> None:
    """Popular products, from the events that the champion was fitted on."""
    bootstrap_project(report.ROOT)
    mlflow.set_tracking_uri(TRACKING_URI)
    with KedroSession.create(project_path=report.ROOT, env=ENV) as session:
        load = session.load_context().catalog.load
        events, products, users, split = map(load, ("events", "products", "users", "split"))
        known = (load("product_features"), load("user_features"))
        snapshot = ServingSnapshot.of(events, products, *known, split.as_of)
        data = TrainingData(events, products, users, split.as_of, split.target_event_types)
        choice = load(f"{Popularity.name}.choice")
        gate = {"promote": False, "reasons": ["It is the control of the A/B test."]}
        card = ModelCard(
            shop=ENV,
            split=split,
            promotion=load("promotion").model_copy(update={**gate, "recipe": recipe_of(choice)}),
            evaluation=load("evaluation"),
        )
        model = fit_model(choice.model, choice.settings, data, SEED)
        register_as(CONTROL, model, snapshot, load("onboarding_quiz"), card)


@contextmanager
def served(alias: str, settings: dict[str, str]) -> Iterator[Ask]:
    """The shop's server with a model of the registry."""
    environment = {
        "MLFLOW_TRACKING_URI": TRACKING_URI,
        "RECSYS_EXPLORATION": str(EXPLORATION),
        **settings,
    }
    model = f"models:/{registered_name(ENV)}@{alias}"
    with (
        serving(model, WORKERS, DATA / f"server_{alias}.log", environment) as server,
        asking(server.port) as ask,
    ):
        yield ask


def with_experiment() -> dict[str, str]:
    """The settings of a server that runs the experiment and logs what it shows."""
    return {
        "RECSYS_EXPERIMENTS_FILE": str(EXPERIMENTS),
        "RECSYS_IMPRESSIONS_FOLDER": str(IMPRESSIONS),
    }


def logged_impressions() -> int:
    """How many products the server says it has shown."""
    return read_impressions(IMPRESSIONS).height


def the_result() -> ExperimentResult:
    """What the analysis says of the experiment."""
    return ExperimentResults.model_validate_json(RESULTS.read_bytes()).experiments[
        the_experiment()[0]
    ]
