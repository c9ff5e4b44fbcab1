import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog, DatasetError

from recsys_kedro.datasets.pydantic_json import PydanticJSONDataset
from recsys_kedro.options import Options
from recsys_kedro.splits import SplitOptions

MODEL = "recsys_kedro.splits.SplitOptions"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "options.json"


@pytest.fixture
def dataset(path):
    return PydanticJSONDataset(filepath=str(path), model=MODEL)


def test_what_is_saved_is_loaded(dataset):
    options = SplitOptions(horizon_days=7)
    dataset.save(options)
    assert dataset.load() == options
    assert dataset.exists()


def test_file_is_readable_json(dataset, path):
    dataset.save(SplitOptions(horizon_days=7))
    assert json.loads(path.read_text())["horizon_days"] == 7
    assert path.read_text().startswith("{\n  ")


def test_missing_file_says_what_to_do(dataset, path):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"does not exist.*Run the pipeline that makes it"):
        dataset.load()


def test_file_that_breaks_a_bound_is_refused(dataset, path):
    path.parent.mkdir()
    path.write_text('{"horizon_days": 0}')
    with pytest.raises(DatasetError, match="horizon_days"):
        dataset.load()


def test_another_class_is_refused(dataset):
    with pytest.raises(DatasetError, match=r"holds a .*SplitOptions, not a Options"):
        dataset.save(Options())


def test_works_as_a_catalog_entry(path):
    entry = {
        "type": "recsys_kedro.datasets.pydantic_json.PydanticJSONDataset",
        "filepath": path.as_posix(),
        "model": MODEL,
    }
    catalog = DataCatalog.from_config({"options": entry})
    catalog.save("options", SplitOptions(horizon_days=3))
    assert Path(path).is_file()
    assert catalog.load("options").horizon_days == 3


def test_object_store_takes_the_place_of_a_folder(bucket):
    dataset = PydanticJSONDataset(filepath=f"s3://{bucket}/made/options.json", model=MODEL)
    with pytest.raises(DatasetError, match=r"s3://.*does not exist"):
        dataset.load()
    dataset.save(SplitOptions(horizon_days=7))
    assert dataset.exists()
    assert dataset.load() == SplitOptions(horizon_days=7)
