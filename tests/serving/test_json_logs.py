import io
import json
import logging
import sys
import threading
import warnings
from datetime import UTC, datetime

import pytest

from recsys_kedro.serving.json_logs import configure_logging, of_request

LOGGER = logging.getLogger("recsys_kedro.test_json_logs")


@pytest.fixture
def configured(monkeypatch):
    """Sets up the logs and gives what reads them; what was set up before comes back afterwards."""
    loggers = [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]

    def configure():
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging()
        return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]

    yield configure
    logging.captureWarnings(capture=False)
    for logger, handlers, propagate, level in before:
        logger.handlers[:], logger.propagate, logger.level = handlers, propagate, level


def test_a_record_is_one_line(configured):
    lines = configured()
    before = datetime.now(UTC)
    LOGGER.warning("two\nlines and %d quotes \"'", 2)
    (line,) = lines()
    assert line | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "recsys_kedro.test_json_logs",
        "message": "two\nlines and 2 quotes \"'",
    }
    assert 0 <= (datetime.fromisoformat(line["time"]) - before).total_seconds() + 0.001 < 60


def test_what_is_logged_in_a_request_names_it(configured):
    lines = configured()
    with of_request("r1"):
        LOGGER.info("inside")
        with of_request("r2"):
            LOGGER.info("deeper")
        LOGGER.info("inside again")
        thread = threading.Thread(target=LOGGER.info, args=("beside",))
        thread.start()
        thread.join()
    LOGGER.info("outside")
    assert [(line["message"], line.get("request_id")) for line in lines()] == [
        ("inside", "r1"),
        ("deeper", "r2"),
        ("inside again", "r1"),
        ("beside", None),
        ("outside", None),
    ]


def test_an_exception_comes_along(configured):
    lines = configured()
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        LOGGER.exception("failed")
    (line,) = lines()
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_any_text_can_be_logged(configured):
    lines = configured()
    LOGGER.info("half a character \ud83d, a whole one ☕")
    assert lines()[0]["message"] == "half a character \ud83d, a whole one ☕"


def test_what_other_packages_had_set_up_is_replaced(configured):
    access = logging.getLogger("uvicorn.access")
    other = io.StringIO()
    access.addHandler(logging.StreamHandler(other))
    access.propagate = False
    lines = configured()
    access.info('%s - "%s"', "127.0.0.1", "POST /invocations")
    assert [line["message"] for line in lines()] == ['127.0.0.1 - "POST /invocations"']
    assert other.getvalue() == ""


def test_warnings_are_logged(configured):
    logging.captureWarnings(capture=False)
    logging.getLogger("py.warnings").setLevel(logging.NOTSET)  # a run of Kedro quiets it
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        lines = configured()
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [line["logger"] for line in lines()] == ["py.warnings"]
    assert "DeprecationWarning: old" in lines()[0]["message"]
