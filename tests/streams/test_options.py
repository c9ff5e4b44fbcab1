import sys

import pytest
from pydantic import ValidationError

from recsys_kedro.streams.broker import TopicReader
from recsys_kedro.streams.options import Connection, LandingOptions

SECRET = "planted-in-the-settings"


def test_settings_are_text_for_the_library_and_stars_for_everybody_else():
    client = {"sasl.password": SECRET, "enable.ssl.certificate.verification": False, "retries": 3}
    connection = Connection(bootstrap_servers="b:9092", client=client)
    told = {name: value.get_secret_value() for name, value in connection.client.items()}
    assert told == {
        "sasl.password": SECRET,
        "enable.ssl.certificate.verification": "false",
        "retries": "3",
    }
    assert SECRET not in f"{connection!r} {connection.model_dump(mode='json')}"


@pytest.mark.parametrize("name", ["group.id", "auto.offset.reset", "bootstrap.servers"])
def test_settings_that_safety_depends_on_are_refused(name):
    with pytest.raises(ValidationError, match=f"{name} cannot be set here"):
        Connection(client={name: "mine"})


@pytest.mark.parametrize(
    "changes",
    [
        {"security.protocol": SECRET},
        {"security.protocol": "sasl_plaintext", "sasl.mechanism": SECRET},
        {"security.protocol": "ssl", "ssl.key.pem": SECRET},
    ],
)
def test_wrong_setting_is_an_error_without_its_value(changes):
    connection = Connection(bootstrap_servers="127.0.0.1:1", client=changes)
    with pytest.raises(ValueError, match="client settings of the broker") as caught:
        TopicReader(connection, "events", "group", 1)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert SECRET not in str(caught.value)


def test_unknown_setting_is_named():
    connection = Connection(bootstrap_servers="127.0.0.1:1", client={"sasl.passwort": SECRET})
    with pytest.raises(ValueError, match=r"sasl\.passwort"):
        TopicReader(connection, "events", "group", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fields": ("user_id",)}, "required_fields: product_id, timestamp not among fields"),
        ({"fields": ("kafka_offset",), "required_fields": ()}, "fields: kafka_offset name columns"),
        ({"topic": "a/b"}, "topic"),
        ({"rows_per_file": 0}, "rows_per_file"),
    ],
)
def test_options_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValidationError, match=message):
        LandingOptions(**{"folder": "landed"} | changes)


def test_without_the_client_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'recsys_kedro\[kafka\]'"):
        TopicReader(Connection(bootstrap_servers="127.0.0.1:1"), "events", "group", 1)
