import polars as pl
import pytest
from kedro.io import DatasetError

from recsys_kedro.datasets.spill import SpillDataset


def test_every_load_empties_the_folder(tmp_path):
    dataset = SpillDataset(filepath=str(tmp_path / "deep" / "spill"))
    first = dataset.load()
    first.append("events", pl.DataFrame({"x": [1]}))
    assert list(first.pieces("events"))
    assert list(dataset.load().pieces("events")) == []
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["spill"]


def test_a_bucket_is_refused_with_what_to_do():
    with pytest.raises(DatasetError, match=r"'s3://ours/spill' is not on this machine.*filepath"):
        SpillDataset(filepath="s3://ours/spill").load()


def test_it_is_not_saved(tmp_path):
    with pytest.raises(DatasetError, match="for the run to fill"):
        SpillDataset(filepath=str(tmp_path)).save(pl.DataFrame())
