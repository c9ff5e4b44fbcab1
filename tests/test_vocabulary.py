import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.vocabulary import UNKNOWN, Vocabulary


def test_ids_are_numbered_in_their_order():
    vocabulary = Vocabulary.fit(["b", "a", "b", None])
    assert vocabulary.ids.to_list() == ["a", "b"]
    assert len(vocabulary) == 2
    assert "a" in vocabulary
    assert "c" not in vocabulary


def test_unknown_and_empty_ids_have_no_number():
    codes = Vocabulary.fit(["a", "b"]).encode(pl.Series(["b", "new", None, "a"]))
    assert codes.tolist() == [1, UNKNOWN, UNKNOWN, 0]


def test_many_ids_get_the_numbers_that_few_get():
    vocabulary = Vocabulary.fit(f"p{number}" for number in range(50))
    ids = pl.Series([f"p{number % 60}" for number in range(2_000)] + [None])
    few = [vocabulary.encode(ids[start : start + 100]) for start in range(0, len(ids), 100)]
    codes = vocabulary.encode(ids)
    assert codes.dtype == np.int64
    assert codes.tolist() == np.concatenate(few).tolist()


@given(st.lists(st.text(), unique=True))
def test_decoding_gives_the_ids_back(ids):
    vocabulary = Vocabulary.fit(ids)
    asked = pl.Series(ids, dtype=pl.String)
    assert vocabulary.decode(vocabulary.encode(asked)).to_list() == ids


def test_an_unknown_number_has_no_id():
    with pytest.raises(pl.exceptions.OutOfBoundsError):
        Vocabulary.fit(["a", "b"]).decode(np.array([UNKNOWN]))


def test_nothing_to_number():
    vocabulary = Vocabulary.fit([])
    assert len(vocabulary) == 0
    assert vocabulary.encode(pl.Series(["a"])).tolist() == [UNKNOWN]


def test_save_and_load(tmp_path):
    vocabulary = Vocabulary.fit(["🫖", "a", "007"])
    vocabulary.save(tmp_path / "ids.parquet")
    loaded = Vocabulary.load(tmp_path / "ids.parquet")
    assert loaded.ids.to_list() == ["007", "a", "🫖"]
    assert loaded.encode(pl.Series(["🫖"])).tolist() == [2]
