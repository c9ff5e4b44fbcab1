"""Against a real server on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recsys_kedro.monitoring.alerts import Finding, MonitoringAlerts
from recsys_kedro.monitoring.webhook import post_alerts


@pytest.fixture
def webhook():
    """A server that keeps what is posted and answers with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.posted.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.posted, server.status = [], 200
        server.url = f"http://127.0.0.1:{server.server_port}/services/secret"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def alerts(hour):
    measured = {"value": 0.1, "low": None, "high": None, "n": 9, "reference": 0.2}
    findings = [
        Finding(group="business", figure=name, slice="all", status=status, reason=why, **measured)
        for name, status, why in (("ctr", "alert", "below 15.00%"), ("conversion", "fine", ""))
    ]
    return MonitoringAlerts(
        shop="corner_shop",
        window_start=hour(0),
        window_end=hour(24),
        reference_start=hour(-24),
        status="alert",
        findings=findings,
        examples=[],
    )


def test_the_alarming_findings_are_posted_as_json(webhook, alerts):
    post_alerts(alerts, webhook.url)
    ((kind, body),) = webhook.posted
    assert kind == "application/json"
    assert body["text"] == alerts.summary
    assert (body["shop"], body["status"]) == ("corner_shop", "alert")
    assert [each["figure"] for each in body["findings"]] == ["ctr"]


def test_a_webhook_that_refuses_is_an_error_that_keeps_the_secret(webhook, alerts):
    webhook.status = 500
    with pytest.raises(ConnectionError, match=r"monitoring\.webhook_url: .*500") as raised:
        post_alerts(alerts, webhook.url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret", "no url secret", "ftp:/secret"])
def test_so_is_one_that_is_not_there(alerts, url):
    with pytest.raises(ConnectionError, match="could not be delivered") as raised:
        post_alerts(alerts, url)
    assert "secret" not in str(raised.value)
