"""A disk that is full or may not be written to: the error says which path it was about."""

import os
import resource
from contextlib import contextmanager

import polars as pl
import pytest
from kedro.io import DataCatalog, DatasetError

from recsys_kedro.splits import SplitOptions

NOBODY = 65534
TABLE = pl.DataFrame({"user_id": ["ann"] * 1_000})
OURS = "recsys_kedro.datasets"
SAVED = {
    "table.parquet": ({"type": "polars.EagerPolarsDataset", "file_format": "parquet"}, TABLE),
    "report.json": ({"type": "json.JSONDataset"}, {"rows": 1}),
    "report.html": ({"type": "text.TextDataset"}, "<html>"),
    "options.json": (
        {
            "type": f"{OURS}.pydantic_json.PydanticJSONDataset",
            "model": "recsys_kedro.splits.SplitOptions",
        },
        SplitOptions(),
    ),
    "lists": (
        {
            "type": f"{OURS}.folder.FolderDataset",
            "model": "recsys_kedro.training_lists.TrainingLists",
        },
        None,
    ),
}


@contextmanager
def full():
    """No file can grow any more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder):
    """Nobody may write to the folder; who is root is nobody meanwhile."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture(params=SAVED)
def entry(request, tmp_path, shop_lists):
    """A dataset of each type that the catalog has, where it lies, and what is saved to it."""
    config, data = SAVED[request.param]
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / request.param
    catalog = DataCatalog.from_config({"saved": config | {"filepath": str(path)}})
    return catalog["saved"], path, shop_lists if data is None else data


def test_full_disk(entry):
    dataset, path, data = entry
    with full(), pytest.raises(DatasetError) as caught:
        dataset.save(data)
    assert str(path) in str(caught.value)
    dataset.save(data)


def test_folder_that_may_not_be_written_to(entry):
    dataset, path, data = entry
    with read_only(path.parent), pytest.raises(DatasetError, match="Permission denied") as caught:
        dataset.save(data)
    assert str(path) in str(caught.value)
    dataset.save(data)
