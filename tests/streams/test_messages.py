import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys_kedro.streams.messages import EventFormat, UnusableError
from recsys_kedro.streams.options import EVENT_FIELDS, OTHER_FIELDS

REQUIRED = ("user_id", "product_id", "timestamp")
FORMAT = EventFormat(EVENT_FIELDS, REQUIRED)


def row(value):
    """What lands of one message: the fields that are there."""
    table = FORMAT.table([FORMAT.line(value)])
    assert table.columns == [*EVENT_FIELDS, OTHER_FIELDS]
    return {name: text for name, text in table.row(0, named=True).items() if text is not None}


def refusal(value):
    with pytest.raises(UnusableError) as caught:
        FORMAT.line(value)
    return str(caught.value)


def test_event_lands_as_text(event):
    assert row(orjson.dumps(event())) == event()


def test_fields_that_may_be_missing_are_empty(event):
    least = {name: event()[name] for name in REQUIRED}
    assert row(orjson.dumps(least)) == least


@pytest.mark.parametrize("value", [2, 2.5, True, [1, "a"], {"a": None}])
def test_what_is_no_text_becomes_its_json(event, value):
    assert json.loads(row(orjson.dumps(event(context=value)))["context"]) == value


def test_numbers_are_ids_and_times_too(event):
    value = orjson.dumps(event(user_id=7, product_id=2**63, timestamp=1717243200.5))
    landed = row(value)
    assert (landed["user_id"], landed["product_id"]) == ("7", str(2**63))
    assert float(landed["timestamp"]) == 1717243200.5


def test_unknown_fields_survive_as_json(event):
    extra = {"campaign": "spring", OTHER_FIELDS: [1], "": {"deep": None}, "kafka_offset": -1}
    landed = row(orjson.dumps(event(**extra)))
    assert json.loads(landed.pop(OTHER_FIELDS)) == extra
    assert landed == event()


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
def test_object_over_several_lines_is_one_row(event, breaks):
    text = json.dumps(event(search_query="two\nlines"), indent=1).replace("\n", breaks)
    assert row(text.encode()) == event(search_query="two\nlines")


def test_own_names_of_a_shop():
    own = EventFormat(("kunde", "artikel"), ("kunde",))
    table = own.table([own.line(b'{"kunde": "k1", "preis": 2}')])
    assert table.rows() == [("k1", None, '{"preis":2}')]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty: "),
        (b"", "not_json: "),
        (b'{"user_id": "ann"', "not_json: "),
        (b"\xff\xfe", "not_json: "),
        (b'{"user_id": "\\ud800"}', "not_json: "),
        (b"[]", "not_an_object: it is a JSON list"),
        (b'"text"', "not_an_object: it is a JSON str"),
        (b"null", "not_an_object: it is a JSON NoneType"),
    ],
)
def test_message_that_is_no_object_is_refused(value, reason):
    assert refusal(value).startswith(reason)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", " \t", [], {}, True, float(2**54)])
def test_event_without_a_user_a_product_or_a_time_is_refused(event, name, value):
    assert refusal(orjson.dumps(event(**{name: value}))).startswith(f"no_{name}: ")


def test_id_that_json_cannot_hold_exactly_is_refused(event):
    value = orjson.dumps(event(user_id="?")).replace(b'"?"', b"9" * 25)
    assert refusal(value) == (
        "no_user_id: the number has too many digits to be exact; send it as text"
    )


def test_key_that_comes_twice_does_not_empty_what_is_required(event):
    value = orjson.dumps(event())[:-1] + b', "user_id": "bob"}'
    null_first = b'{"user_id": null, ' + orjson.dumps(event())[1:]
    assert row(value)["user_id"] in ("ann", "bob")
    assert row(null_first) == event()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
KEYS = st.sampled_from([*EVENT_FIELDS, OTHER_FIELDS]) | st.text()
FILLED = st.fixed_dictionaries(dict.fromkeys(REQUIRED, st.text(min_size=1) | st.integers()))
OBJECTS = st.builds(lambda some, more: more | some, FILLED, st.dictionaries(KEYS, VALUES))
MESSAGES = st.none() | st.binary() | OBJECTS.map(lambda event: json.dumps(event).encode())


DEEP = (
    b'{"user_id": "u", "product_id": "p", "timestamp": "t", "context": ' + b"[" * 900 + b"]" * 900
)


@settings(max_examples=50, deadline=None)
@given(st.lists(MESSAGES, max_size=5))
@example([b'{"user_id": null, "user_id": "u", "product_id": "p", "timestamp": "t"}', b"{}"])
@example([DEEP + b"}"])
def test_whatever_comes_is_a_row_or_refused(messages):
    lines = []
    for message in messages:
        with suppress(UnusableError):
            lines.append(FORMAT.line(message))
    table = FORMAT.table(lines)
    assert table.height == len(lines)
    for name in REQUIRED:
        assert table[name].to_list() == [str(orjson.loads(line)[name]) for line in lines]
