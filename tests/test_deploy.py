"""The files of a deployment are not run here; they are held against each other and the code."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem
from recsys_kedro.serving.telemetry import Telemetry

DEPLOY = Path(__file__).parents[1] / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES = COMPOSE["services"]
RECOMMENDER = SERVICES["recommender"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
SCRAPED = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
PREFIX = ServingOptions.model_config["env_prefix"]
IN_IMAGE = dict(re.findall(rf"\b({PREFIX}\w+)=(\S+)", CONTAINERFILE))
FROM_OUTSIDE = re.compile(r"\$\{\w+(:\?|:-[^}]*)?\}")  # ${NAME:?}: no value, no start


def published(service):
    """Ports of a service's container that can be reached from outside of it."""
    return {int(port.rsplit(":", 1)[1]) for port in SERVICES[service].get("ports", [])}


def queries():
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def exported():
    """The names of the samples, after everything has happened once."""
    telemetry = Telemetry()
    item = RecommendedItem(
        product_id="p", rank=1, score=1, source="ease", reason="", name=None, category=None, price=1
    )
    told = {"user_id": "ann", "model": "m", "model_version": "1"}
    telemetry.answered(RecommendationAnswer(items=[item], **told))
    telemetry.answered(RecommendationAnswer(items=[item], fallback="unknown_user", **told))
    telemetry.candidates({"ease": 1})
    telemetry.cache_lookup(hit=True)
    telemetry.failed("rank")
    telemetry.ready("m", "1")
    families = text_string_to_metric_families(telemetry.exposition().decode())
    return {
        sample.name: set(sample.labels) | {"le"} for family in families for sample in family.samples
    }


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yml")), ids=lambda path: path.name)
def test_every_file_parses(path):
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize(("panel", "query"), queries())
def test_a_dashboard_asks_for_what_is_exported(panel, query, exported):
    names = re.findall(r"\brecsys_\w+", query)
    assert names, f"{panel}: asks for nothing of ours"
    assert set(names) <= set(exported)
    grouped = [
        label for group in re.findall(r"by \(([\w, ]+)\)", query) for label in group.split(", ")
    ]
    matched = re.findall(r"(\w+)!?=~?\"", query)
    assert set(grouped + matched) <= set.union(*(exported[name] for name in names))


def test_a_dashboard_shows_every_metric(exported):
    asked = " ".join(query for _, query in queries())
    families = {re.sub(r"_(bucket|sum|count|total|created)$", "", name) for name in exported}
    assert {family for family in families if family not in asked} == set()


def test_panels_are_told_apart_and_ask_the_provisioned_source():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    (source,) = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert used == {source["uid"]}
    at = urlsplit(source["url"])
    assert at.port in published(at.hostname)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_depends_on_services_that_can_be_waited_for(service):
    needed = SERVICES[service].get("depends_on", {})
    assert set(needed) <= set(SERVICES)
    conditions = needed if isinstance(needed, dict) else {}
    for other, how in conditions.items():
        if how["condition"] == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_pinned_and_watched(service):
    name, _, tag = SERVICES[service]["image"].rpartition(":")
    assert name
    assert re.match(r"v?\d+\.\d+", tag), "name the version"
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", SERVICES)
def test_volumes_are_declared_or_files_of_ours(service):
    for volume in SERVICES[service].get("volumes", []):
        source = volume.split(":")[0]
        there = (
            (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
        assert there, volume


def test_hosts_in_urls_are_services_that_listen_there():
    values = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if name.endswith(("_URL", "_URI"))
    ]
    assert len(values) == 3
    for value in values:
        at = urlsplit(FROM_OUTSIDE.sub("secret", value))
        assert at.port in published(at.hostname), value


def test_no_secret_is_written_down():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|SECRET|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+:\?\}", value), name
            password = urlsplit(value).password if "://" in value else None
            assert password is None or "$" in value.split("@")[0], name


@pytest.mark.parametrize("given", [IN_IMAGE, RECOMMENDER["environment"]], ids=["image", "compose"])
def test_options_exist_and_their_values_are_valid(given, monkeypatch):
    ours = {name: value for name, value in given.items() if name.startswith(PREFIX)}
    assert ours
    fields = {f"{PREFIX}{name.upper()}" for name in ServingOptions.model_fields}
    assert set(ours) <= fields
    for name, value in ours.items():
        monkeypatch.setenv(name, FROM_OUTSIDE.sub("secret", value))
    assert ServingOptions().metrics_port


def test_the_metrics_are_scraped_and_the_health_is_watched_where_they_are():
    port = int(RECOMMENDER["environment"][f"{PREFIX}METRICS_PORT"])
    assert int(IN_IMAGE[f"{PREFIX}METRICS_PORT"]) == port
    assert [config["static_configs"][0]["targets"] for config in SCRAPED] == [
        [f"recommender:{port}"]
    ]
    ready = f"http://127.0.0.1:{port}/health/ready"
    assert ready in " ".join(RECOMMENDER["healthcheck"]["test"])
    (check,) = re.findall(r"(?m)^HEALTHCHECK .*\\\n\s+CMD (.+)$", CONTAINERFILE)
    assert ready in " ".join(json.loads(check))


def test_the_ports_of_the_server_are_open():
    command = RECOMMENDER["command"]
    answers = int(command[command.index("--port") + 1])
    (image_command,) = re.findall(r"(?m)^CMD (.+)$", CONTAINERFILE)
    assert json.loads(image_command)[1:] == command[1:]
    (exposed,) = re.findall(r"(?m)^EXPOSE (.+)$", CONTAINERFILE)
    metrics = int(IN_IMAGE[f"{PREFIX}METRICS_PORT"])
    assert {int(port) for port in exposed.split()} == {answers, metrics}
    assert published("recommender") == {answers, metrics}


def test_the_image_is_made_of_files_that_are_there():
    root = DEPLOY.parent
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().split()
    copied = [line.split()[1:-1] for line in CONTAINERFILE.splitlines() if line.startswith("COPY")]
    for source in (name for names in copied for name in names):
        assert (root / source).exists()
        assert f"!{source}" in ignored
    assert (root / RECOMMENDER["build"]["dockerfile"]) == DEPLOY / "Containerfile"
    assert (DEPLOY / RECOMMENDER["build"]["context"]).resolve() == root.resolve()
