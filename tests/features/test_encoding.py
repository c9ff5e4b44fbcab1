"""Encodings of single columns."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_kedro.features.encoding import CategoryEncoder, NumberEncoder, hash_words


def test_categories_missing_unknown_rare_and_known(tmp_path):
    encoder = CategoryEncoder.fit(pl.Series(["b", "a", "b", "a", "once", None]), min_count=2)
    assert len(encoder) == 2 + 2
    names = pl.Series(["a", "b", "once", "new", None], dtype=pl.String)
    assert encoder.transform(names).tolist() == [2, 3, 1, 1, 0]
    encoder.save(tmp_path / "names.parquet")
    assert CategoryEncoder.load(tmp_path / "names.parquet").transform(names).tolist() == [
        2,
        3,
        1,
        1,
        0,
    ]


def test_an_empty_column_of_categories():
    encoder = CategoryEncoder.fit(pl.Series([None, None], dtype=pl.String), min_count=1)
    assert len(encoder) == 2
    assert encoder.transform(pl.Series(["a", None])).tolist() == [1, 0]


def test_numbers_are_standard_scores_of_the_logarithm(tmp_path):
    frame = pl.DataFrame({"x": [0.0, None, 3.0], "y": [1, 1, 1]})
    encoder = NumberEncoder.fit(frame, ["x", "y"], ["x"])
    mean = (np.log(1) + np.log(4)) / 2
    std = np.sqrt(((np.log(1) - mean) ** 2 + (np.log(4) - mean) ** 2) / 2)
    expected = [
        [(np.log(1) - mean) / std, 0, 0],
        [0, 0, 1],
        [(np.log(4) - mean) / std, 0, 0],
    ]
    assert encoder.names == ("x", "y", "x_missing")
    assert encoder.transform(frame).dtype == np.float32
    np.testing.assert_allclose(encoder.transform(frame), expected, atol=1e-6)
    encoder.save(tmp_path / "numbers.json")
    assert NumberEncoder.load(tmp_path / "numbers.json") == encoder


def test_a_column_without_any_number_scores_zero():
    frame = pl.DataFrame({"x": [None, float("nan"), float("inf")]})
    encoder = NumberEncoder.fit(frame, ["x"], [])
    assert encoder.transform(frame).tolist() == [[0], [0], [0]]


def test_a_negative_number_is_named():
    frame = pl.DataFrame({"x": [1.0, 2.0], "y": [1.0, -2.5]})
    with pytest.raises(ValueError, match=r"'y' has 1 negative numbers \(first: row 1, -2.5\)"):
        NumberEncoder.fit(frame, ["x", "y"], [])


def test_words_are_packed():
    ids, offsets = hash_words(pl.Series(["Red LAMP", None, "", "a red-lamp 3"]), 1_000)
    assert offsets.tolist() == [0, 2, 2, 2, 6]
    assert ids[0:2].tolist() == ids[3:5].tolist()
    assert ids.min() >= 0
    assert ids.max() < 1_000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.none() | st.text(max_size=20), max_size=8))
def test_a_text_has_the_same_words_alone_and_among_others(texts):
    series = pl.Series(texts, dtype=pl.String)
    ids, offsets = hash_words(series, 97)
    assert offsets.shape == (len(texts) + 1,)
    for number, text in enumerate(texts):
        alone = hash_words(pl.Series([text], dtype=pl.String), 97).ids
        assert ids[offsets[number] : offsets[number + 1]].tolist() == alone.tolist()


def test_the_hash_is_the_same_in_another_process():
    code = (
        "import polars as pl; from recsys_kedro.features.encoding import hash_words;"
        "print(hash_words(pl.Series(['red lamp']), 4096).ids.tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(hash_words(pl.Series(["red lamp"]), 4096).ids.tolist())
