import pytest
from kedro.io import DataCatalog, DatasetError

from recsys_kedro.datasets.experiments import ExperimentsDataset
from recsys_kedro.experiments.declarations import Experiments

DECLARED = """
layers:
  ranking:
    experiments:
      ranker:
        start: 2025-03-03T00:00:00+00:00
        end: 2025-03-24T00:00:00+00:00
        control: old
        variants: {old: {}, new: {model: challenger}}
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "experiments.yml"


@pytest.fixture
def dataset(path):
    entry = {
        "type": "recsys_kedro.datasets.experiments.ExperimentsDataset",
        "filepath": path.as_posix(),
    }
    return DataCatalog.from_config({"experiments": entry})["experiments"]


def test_declarations_are_read_and_checked(dataset, path):
    path.write_text(DECLARED)
    assert dataset.exists()
    assert dataset.load().named["ranker"].variants["new"].model == "challenger"


def test_a_missing_file_says_how_to_write_one(dataset):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"does not exist\. Write one like conf/base/experime"):
        dataset.load()


def test_a_fault_names_the_file_and_the_key(dataset, path):
    path.write_text(DECLARED.replace("control: old", "control: odl"))
    with pytest.raises(DatasetError, match=r"experiments\.yml: .*control: there is no variant"):
        dataset.load()


def test_saving_is_refused(path):
    with pytest.raises(DatasetError, match="read only"):
        ExperimentsDataset(filepath=str(path)).save(Experiments())


def test_an_empty_file_declares_none(dataset, path):
    path.write_text("# none\n")
    assert dataset.load().named == {}
