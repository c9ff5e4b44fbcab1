"""Tells a webhook what is alarming: one POST of JSON, as chat systems take it."""

import json
import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError

from recsys_kedro.monitoring.alerts import MonitoringAlerts

TIMEOUT_S: Final = 10.0


def post_alerts(alerts: MonitoringAlerts, url: str) -> None:
    """POST ``text`` (the summary) and the alerts with their alarming findings.

    Raises:
        ConnectionError: the webhook does not take it; the URL, a secret, is not in the message.
    """
    told = alerts.model_copy(update={"findings": alerts.alarming}).model_dump(mode="json")
    body = json.dumps({"text": alerts.summary, **told}).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            pass
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        # What is no OSError may repeat the URL.
        reason = error if isinstance(error, OSError) else type(error).__name__
        msg = f"monitoring.webhook_url: the alert could not be delivered ({reason})"
        raise ConnectionError(msg) from None
