"""What MLflow keeps of a run: name, tags, parameters, metrics, reports, environment."""

import hashlib
import subprocess
from collections.abc import Mapping
from glob import glob
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel

CHOICE_SUFFIX = ".choice"
RAW_EVENTS = "raw_events"
REPORTING = "08_reporting"
BYTES_WORTH_HASHING = 2**28
DEFAULT = "__default__"


class MlflowByField(MlflowHook):
    """kedro-mlflow's hook, but an options class is logged field by field, not as one string."""

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Hand on the node's options as plain dictionaries, which ``mlflow.yml`` flattens."""
        plain = {
            name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in inputs.items()
        }
        super().before_node_run(node=node, catalog=catalog, inputs=plain, is_async=is_async)


class RunTags:
    """Names a run, and tags it with what it was made from: environment, shop, commit, raw data."""

    def __init__(self) -> None:
        """Start without a project; it is known when the context is."""
        self._project = Path()
        self._shop = self._run_time = ""
        self._catalog: DataCatalog | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies and whose data it has."""
        self._project = context.project_path
        self._shop = context.config_loader["globals"]["shop"]
        self._run_time = str(context.config_loader["parameters"]["run_time"])

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Set the tags on the run that has just been opened."""
        if mlflow.active_run() is None:
            return
        self._catalog = catalog
        pipelines = ", ".join(run_params.get("pipeline_names") or ["everything"])
        tags = {
            "mlflow.runName": f"{pipelines.replace(DEFAULT, 'everything')} {self._run_time:.16}",
            "shop": self._shop,
            "env": run_params["env"] or "base",
        }
        mlflow.set_tags(tags | git_tags(self._project))

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Tag the raw events once they are read: a run may land some of them itself."""
        if dataset_name == RAW_EVENTS and self._catalog and mlflow.active_run() is not None:
            mlflow.set_tags(_file_tags(self._catalog))


def git_tags(project: Path) -> dict[str, str]:
    """``git.commit`` and ``git.dirty`` of the checkout; nothing where there is none."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        changes = _git(project, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git.commit": commit, "git.dirty": str(bool(changes)).lower()}


def _git(project: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _file_tags(catalog: DataCatalog) -> dict[str, str]:
    """The digest of the raw events, where they are local files of moderate size."""
    pattern = str(getattr(catalog[RAW_EVENTS], "_filepath", ""))
    paths = [Path(path) for path in sorted(glob(pattern))]
    if not paths or sum(path.stat().st_size for path in paths) > BYTES_WORTH_HASHING:
        return {}
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return {f"{RAW_EVENTS}.sha256": digest.hexdigest()}


class RunRecord:
    """Keeps what a run wrote for people, and the versions of all packages that it ran with."""

    def __init__(self) -> None:
        """Start without a catalog; it is known when the run begins."""
        self._catalog: DataCatalog | None = None

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Log the environment to the run that has just been opened."""
        self._catalog = catalog
        if mlflow.active_run() is not None:
            mlflow.log_text("".join(f"{line}\n" for line in installed()), "environment.txt")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Log the file, if it is a report on this machine."""
        if self._catalog is None or mlflow.active_run() is None:
            return
        path = Path(str(getattr(self._catalog[dataset_name], "_filepath", "")))
        if path.parent.name == REPORTING and path.is_file():
            mlflow.log_artifact(str(path), "reports")


def installed() -> list[str]:
    """``name==version`` of each installed package, sorted."""
    return sorted({f"{each.name}=={each.version}" for each in distributions()}, key=str.lower)


class FitRecord:
    """Logs what a fit chose, field by field, and every number of every epoch.

    Parameters are ``chosen.<model>.<field>``, metrics ``<model>/<name>`` with the epoch as step.
    """

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Look for datasets named ``<model>.choice`` that tell their settings and epochs."""
        if mlflow.active_run() is None:
            return
        for name, value in outputs.items():
            if name.endswith(CHOICE_SUFFIX):
                model, fields = name.removesuffix(CHOICE_SUFFIX), _fields(value)
                mlflow.log_params(by_field(f"chosen.{model}", fields.get("settings", {})))
                for step, metrics in epoch_metrics(model, fields):
                    mlflow.log_metrics(metrics, step=step)


def epoch_metrics(model: str, choice: Mapping[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """(epoch number from 1, metrics by name) of each epoch that ``choice`` tells of."""
    return [
        (
            int(epoch.get("epoch", number)),
            {
                f"{model}/{metric_name(key)}": float(value)
                for key, value in epoch.items()
                if key != "epoch" and isinstance(value, int | float)
            },
        )
        for number, epoch in enumerate(choice.get("epochs", ()), start=1)
    ]


def by_field(prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings flat: ``{"a": {"b": 1}}`` is ``{"<prefix>.a.b": 1}``."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}.{name}"
        flat |= by_field(key, value) if isinstance(value, Mapping) else {key: value}
    return flat


def _fields(choice: Any) -> Mapping[str, Any]:
    fields = choice.model_dump(mode="json") if isinstance(choice, BaseModel) else choice
    return fields if isinstance(fields, Mapping) else {}


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it: ``ndcg@10`` is ``ndcg_at_10``."""
    return name.replace("@", "_at_")
