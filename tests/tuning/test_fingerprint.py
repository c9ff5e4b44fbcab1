from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tuning.tiny_search import BOUGHT, TOOK, make_data

from recsys_kedro.models.base import Validation
from recsys_kedro.tuning.fingerprint import data_digest, digest, window_digest


def test_same_parts_same_digest():
    parts = ({"a": 1, "b": [2]}, np.arange(3), pl.DataFrame({"a": [1, None], "b": ["x", "ü"]}))
    assert digest(*parts) == digest({"b": [2], "a": 1}, *parts[1:])
    assert len(digest(*parts)) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [2, 1]})),
        (pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"b": [1, 2]})),
        (np.arange(3), np.arange(4)),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_other_parts_another_digest(one, other):
    assert digest(one) != digest(other)


def test_lists_and_what_they_are_made_of_count(hybrid_data):
    lists = hybrid_data.lists
    flipped = replace(lists, label=~lists.label)
    assert data_digest(hybrid_data) != data_digest(replace(hybrid_data, lists=flipped))
    assert data_digest(hybrid_data) != data_digest(replace(hybrid_data, lists=None))
    assert data_digest(hybrid_data) == data_digest(replace(hybrid_data))


def test_the_window_is_not_of_the_data():
    one, other = make_data(), make_data(took=TOOK[1:])
    assert data_digest(one) == data_digest(other)
    assert window_digest(one) != window_digest(other)
    assert data_digest(one) != data_digest(make_data(rows=BOUGHT[1:]))
    with pytest.raises(ValueError, match="with validation data"):
        window_digest(replace(one, validation=None))


def test_who_watches_is_not_of_the_window():
    data = make_data()
    watched = Validation(data.validation.queries, data.validation.truth, lambda epochs: True)
    assert window_digest(replace(data, validation=watched)) == window_digest(data)
