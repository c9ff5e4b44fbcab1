"""Ordered sequences as tables, and that their times make the global split leave-last-out."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kedro.io import DatasetError
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.datasets.sequences import (
    ALWAYS,
    SequencesDataset,
    aligned_events,
    parse_attributes,
    parse_sequences,
    word_of,
)
from recsys_kedro.features.encoding import hash_words
from recsys_kedro.splits import SplitOptions, leave_last_out, make_time_split, window_truth

AS_OF = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PAIR = [c.USER_ID, c.PRODUCT_ID]
TEXT = "ann a b c\n\nben  b\td\ncy e\n"


@pytest.fixture
def dataset(tmp_path):
    """A dataset on files with the given content."""

    def make(table, text=TEXT, attributes=None, **options):
        (tmp_path / "sequences.txt").write_bytes(text.encode())
        named = {}
        if attributes is not None:
            (tmp_path / "attributes.json").write_text(attributes)
            named["attributes"] = str(tmp_path / "attributes.json")
        return SequencesDataset(
            table=table,
            filepath=str(tmp_path / "sequences.txt"),
            as_of=AS_OF.isoformat(),
            **named,
            **options,
        )

    return make


def test_every_sequence_ends_a_day_before_as_of(dataset):
    events = dataset("events").load()
    assert events.select(c.SOURCE_ROW, *PAIR, c.TIMESTAMP).rows() == [
        (1, "ann", "a", AS_OF - 3 * DAY),
        (2, "ann", "b", AS_OF - 2 * DAY),
        (3, "ann", "c", AS_OF - 1 * DAY),
        (4, "ben", "b", AS_OF - 2 * DAY),
        (5, "ben", "d", AS_OF - 1 * DAY),
        (6, "cy", "e", AS_OF - 1 * DAY),
    ]
    assert events[c.EVENT_TYPE].to_list() == [c.PURCHASE] * 6


def test_long_sequences_keep_their_newest_items_and_it_is_told(dataset, caplog):
    assert_frame_equal(
        dataset("events", longest=2).load(),
        dataset("events").load().filter(pl.col("product_id") != "a"),
    )
    assert "Sequences of 1 users are longer than 2 items: their oldest 1 of 6 items" in caplog.text


def test_nothing_is_cut_silently_or_told_without_need(dataset, caplog):
    dataset("events", longest=3).load()
    assert not caplog.records


@st.composite
def sequences(draw):
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=8))
    items = st.integers(0, 4)
    lines = [[draw(items) for _ in range(length)] for length in [3, *lengths]]
    return "\n".join(f"u{user} " + " ".join(map(str, line)) for user, line in enumerate(lines))


@given(sequences())
def test_the_global_split_leaves_the_last_out(text):
    events = aligned_events(parse_sequences(text.encode(), "text"), AS_OF, 1_000)
    events = events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW)
    split = make_time_split(events, AS_OF, SplitOptions(horizon_days=1))
    windows = {1: (split.test_start, split.end), 2: (split.validation_start, split.test_start)}
    for held_out, (start, end) in windows.items():
        past, last = leave_last_out(events, held_out)
        # Who is no longer than what is held out is not split there, and has no past here.
        longer = events.filter(pl.len().over(c.USER_ID) > held_out)[c.USER_ID].unique().implode()
        ours = events.filter(pl.col(c.USER_ID).is_in(longer))
        assert_frame_equal(
            ours.filter(pl.col(c.TIMESTAMP) < start), past.filter(pl.col(c.USER_ID).is_in(longer))
        )
        truth = window_truth(events, start, end, split).filter(task="all")
        in_truth = truth.filter(pl.col(c.USER_ID).is_in(longer)).select(PAIR)
        assert_frame_equal(in_truth, last.select(PAIR).sort(PAIR))


def test_ages_are_steps_from_the_query(dataset):
    events = dataset("events").load()
    split = make_time_split(events, AS_OF, SplitOptions(horizon_days=1))
    past = events.filter(pl.col(c.USER_ID) == "ann", pl.col(c.TIMESTAMP) < split.test_start)
    ages = [(split.test_start - time) / DAY for time in past[c.TIMESTAMP]]
    assert ages == [2, 1]


def test_attributes_are_words_and_the_whole_catalogue_was_always_there(dataset):
    attributes = json.dumps({"a": [12, 5, 12], "b": [], "x": ["Hair Care", 7]})
    products = dataset("products", attributes=attributes).load()
    assert products.rows() == [
        ("a", "a12 a5", ALWAYS),
        ("b", None, ALWAYS),
        ("c", None, ALWAYS),
        ("d", None, ALWAYS),
        ("e", None, ALWAYS),
        ("x", "haircare a7", ALWAYS),
    ]


def test_products_without_attributes_are_those_of_the_sequences(dataset):
    products = dataset("products").load()
    assert products[c.PRODUCT_ID].to_list() == ["a", "b", "c", "d", "e"]
    assert products[c.NAME].to_list() == [None] * 5


@given(st.one_of(st.integers(0), st.text(st.characters(), max_size=8).map(lambda text: f"a{text}")))
@example("İx")  # its lower case is an i, an accent that is no letter, and an x
def test_an_attribute_is_one_word_to_the_encoders(attribute):
    assert hash_words(pl.Series([word_of(attribute)]), 64).offsets.tolist() == [0, 1]


def test_attributes_that_become_the_same_word_are_counted(dataset, caplog):
    dataset("products", attributes=json.dumps({"a": ["Red", "red!", "blue"]})).load()
    assert "1 attributes are the same word as another one" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann a\nben\n", "line 2: user 'ben' has no items"),
        ("ann a\nben b\nann c\n", "line 3: user 'ann' stands in line 1 already"),
        (" \n\n", "no sequences; want one user a line"),
    ],
)
def test_unreadable_sequences_are_named(dataset, text, message):
    with pytest.raises(DatasetError, match=message):
        dataset("events", text=text).load()


def test_sequences_that_are_not_utf_8_are_named():
    with pytest.raises(ValueError, match="source, line 2: not UTF-8"):
        parse_sequences(b"ann a\nben \xff\n", "source")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('{"a": [1],\n "b" [2]}', "line 2: not JSON"),
        ("[1]", "want an object .*, not a list"),
        ('{"a": 1}', "item 'a': want a list of whole numbers or texts, not 1"),
        ('{"a": [1.5]}', "item 'a': want a list"),
        ('{"a": [true]}', "item 'a': want a list"),
        ('{"a": [1], "a": [2]}', "item 'a': stands there twice"),
        ('{"x": [1]}', "no attribute of any item of"),
        ('{"a": ["?"]}', "attribute '\\?': want a number from 0, or a text with letters"),
        ('{"a": [-1]}', "attribute -1: want a number from 0"),
    ],
)
def test_unreadable_attributes_are_named(dataset, attributes, message):
    with pytest.raises(DatasetError, match=message):
        dataset("products", attributes=attributes).load()


def test_attributes_may_be_numbers_or_texts():
    assert parse_attributes(b'{"a": [1, "b"]}', "source") == {"a": [1, "b"]}


def test_a_file_that_is_not_named_or_not_there_is_told():
    options = {"table": "events", "as_of": AS_OF.isoformat()}
    unset = SequencesDataset(filepath=None, **options)
    assert not unset.exists()
    with pytest.raises(DatasetError, match="set the environment variable RECSYS_SEQUENCES"):
        unset.load()
    with pytest.raises(DatasetError, match=r"no file at '/nowhere/sequences\.txt'"):
        SequencesDataset(filepath="/nowhere/sequences.txt", **options).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "users"}, "'users'; ordered sequences have events, products"),
        ({"as_of": "2020-01-01T12:00:00+00:00"}, "want a midnight in UTC"),
        ({"as_of": "2020-01-01"}, "want a time with its zone"),
        ({"longest": 0}, "longest is 0; want 1 to 18,261 items"),
        ({"longest": 18_262}, "the days from 1970 to as_of"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(DatasetError, match=message):
        SequencesDataset(
            **{"table": "events", "filepath": "any", "as_of": AS_OF.isoformat()} | options
        )


def test_saving_is_refused(dataset):
    with pytest.raises(DatasetError, match="read only"):
        dataset("events").save("anything")
