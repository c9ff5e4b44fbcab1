from pathlib import Path

import pytest
from pydantic import ValidationError

from recsys_kedro.serving.options import ServingOptions


def test_an_empty_variable_switches_the_part_off(monkeypatch):
    for name in ("IMPRESSIONS_FOLDER", "EXPERIMENTS_FILE", "METRICS_PORT", "REDIS_URL"):
        monkeypatch.setenv(f"RECSYS_{name}", "")
    options = ServingOptions()
    assert (options.impressions_folder, options.experiments_file) == (None, None)
    assert (options.metrics_port, options.redis_url) == (None, None)


def test_options_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RECSYS_EXPERIMENTS_FILE", "tests.yml")
    assert ServingOptions().experiments_file == Path("tests.yml")


def test_a_topic_without_a_broker_is_refused(monkeypatch):
    monkeypatch.delenv("RECSYS_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("RECSYS_IMPRESSIONS_TOPIC", "impressions")
    with pytest.raises(ValidationError, match="needs RECSYS_KAFKA_BOOTSTRAP_SERVERS"):
        ServingOptions()


def test_client_settings_are_kept_secret(monkeypatch):
    monkeypatch.setenv("RECSYS_KAFKA_CLIENT", '{"sasl.password": "hush"}')
    options = ServingOptions()
    assert options.kafka_client["sasl.password"].get_secret_value() == "hush"
    assert "hush" not in repr(options)
