"""Logs for machines: one JSON object a line on standard error, with the request that it is of."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

REQUEST_ID: Final = ContextVar[str | None]("request_id", default=None)


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """What is logged inside carries this id, e.g. the ``recommendation_id`` of the answer."""
    token = REQUEST_ID.set(request_id)
    try:
        yield
    finally:
        REQUEST_ID.reset(token)


class JsonLines(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``; ``request_id``, ``exception`` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; JSON escapes the line breaks of what is in it."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None})


def configure_logging(level: int = logging.INFO) -> None:
    """Everything that is logged, by whichever package, in this form; warnings too.

    Packages that have set up handlers of their own by now (uvicorn, MLflow) lose them. To be
    called where a worker loads its model: not by a program that only imports it.
    """
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
