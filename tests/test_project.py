"""The conventions that hold the project together, as rules that fail."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.validation.type_extractor import TypeExtractor
from pydantic import BaseModel

from recsys_kedro.pipeline_registry import register_pipelines
from recsys_kedro.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
ENVIRONMENTS = sorted(
    folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "local"
)
PIPELINES = register_pipelines()
NODES = list({node.name: node for p in PIPELINES.values() for node in p.nodes}.values())
SOURCES = [
    path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOR_TESTS_AND_NOTEBOOKS = {"tastes"}  # the truth about a simulated shop; no node may read it
MOST_LINES_PER_FILE, MOST_LINES_PER_FUNCTION, MOST_ENTRIES = 400, 60, 12


def load(env: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(conf_source=CONF, env=env, **CONFIG_LOADER_ARGS)


def used_datasets() -> set[str]:
    names = {name for node in NODES for name in (*node.inputs, *node.outputs)}
    return {name for name in names if not name.startswith("params:") and name != "parameters"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_environment_loads(env):
    config = load(env)
    assert config["globals"]["shop"]
    assert config["parameters"]["shop"] == config["globals"]["shop"]
    assert config["mlflow"]["server"]["mlflow_tracking_uri"]
    DataCatalog.from_config(config["catalog"])


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_dataset_in_use_is_declared(env):
    resolver = DataCatalog.from_config(load(env)["catalog"]).config_resolver
    undeclared = {
        name
        for name in used_datasets()
        if name not in resolver.config and not resolver.match_dataset_pattern(name)
    }
    assert not undeclared, "would be lost in memory: add them to a catalog"


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_declared_dataset_is_used(env):
    config = load(env)["catalog"]
    resolver = DataCatalog.from_config(config).config_resolver
    used = used_datasets()
    patterns = {resolver.match_dataset_pattern(name) for name in used}
    unused = set(config) - used - patterns - FOR_TESTS_AND_NOTEBOOKS
    assert not {name for name in unused if not name.startswith("_")}
    assert not used & FOR_TESTS_AND_NOTEBOOKS


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_no_dataset_is_a_pickle(env):
    types_ = {str(entry["type"]).lower() for entry in load(env)["catalog"].values()}
    assert not [name for name in types_ if "pickle" in name]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_parameter_is_used(env):
    inputs = {name for node in NODES for name in node.inputs if name.startswith("params:")}
    used = {name.removeprefix("params:").split(".")[0] for name in inputs}
    assert set(load(env)["parameters"]) == used


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_parameter_fits_its_options(env):
    """Kedro checks a run's own parameters; here those of all pipelines are, with every key."""
    parameters = load(env)["parameters"]
    for key, hint in TypeExtractor(PIPELINES).extract_types_from_pipelines().items():
        value = parameters
        for part in key.split("."):
            value = value[part]
        if inspect.isclass(hint) and issubclass(hint, BaseModel):
            assert hint.model_config.get("extra") == "forbid", f"{key}: typos would be ignored"
            hint.model_validate(value)


def test_each_parameter_stands_in_one_file():
    seen: dict[str, str] = {}
    for path in sorted((CONF / "base").glob("parameters*.yml")):
        for key in yaml.safe_load(path.read_text()) or {}:
            assert key not in seen, f"{key} is in {seen[key]} and {path.name}"
            seen[key] = path.name


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_node_is_named_for_its_function_and_explained(node):
    name = node.name.split(".")[-1]
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name), "a verb and its object: build_events"
    assert inspect.getdoc(node.func), f"{node.func.__name__} has no docstring"
    assert "return" in get_type_hints(node.func), f"{node.func.__name__} is not typed"


@pytest.mark.parametrize("path", sorted(CONF.glob("*/catalog*.yml")), ids=relative)
def test_catalog_can_be_scanned(path):
    entries = [name for name in yaml.safe_load(path.read_text()) or {} if not name.startswith("_")]
    assert len(entries) <= MOST_ENTRIES


def test_files_are_of_a_readable_size():
    sizes = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: size for path, size in sizes.items() if size > MOST_LINES_PER_FILE} == {}


def test_functions_are_of_a_readable_size():
    functions = [
        (f"{relative(path)}: {function.name}", (function.end_lineno or 0) - function.lineno + 1)
        for path in SOURCES
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert {name: size for name, size in functions if size > MOST_LINES_PER_FUNCTION} == {}


def test_modules_are_named_for_what_they_provide():
    assert not [relative(p) for p in SOURCES if p.stem in {"utils", "helpers", "common"}]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_notebook_is_stripped(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs"), "strip it: .venv/bin/nbstripout notebooks/*.ipynb"
        assert cell.get("execution_count") is None
