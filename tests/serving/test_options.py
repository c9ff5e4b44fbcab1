from pathlib import Path

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
