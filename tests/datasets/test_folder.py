from pathlib import Path

import pytest
import s3fs
from kedro.io import DatasetError

from recsys_kedro.datasets.folder import FolderDataset


class Note:
    """Writes two files; a text of `None` breaks after the first."""

    def __init__(self, text):
        self.text = text

    def save(self, folder: Path):
        (folder / "first").write_text("whole")
        (folder / "text").write_text(self.text)

    @classmethod
    def load(cls, folder: Path):
        return cls((folder / "text").read_text())


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_kedro.datasets.folder.load_obj", lambda _: Note)
    return FolderDataset(filepath=str(tmp_path / "made" / "note"), model="tests.Note")


def test_round_trip_replaces_the_whole_folder(dataset, tmp_path):
    dataset.save(Note("old"))
    (tmp_path / "made" / "note" / "stray").touch()
    dataset.save(Note("new"))
    assert dataset.load().text == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["first", "made", "note", "text"]


def test_failed_save_leaves_the_old_folder(dataset):
    dataset.save(Note("old"))
    with pytest.raises(DatasetError):
        dataset.save(Note(None))
    assert dataset.load().text == "old"
    dataset.save(Note("new"))
    assert dataset.load().text == "new"


def test_missing_folder_says_what_to_do(dataset):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"note does not exist.*Run the pipeline that makes it"):
        dataset.load()


def test_class_is_found_by_its_dotted_path(tmp_path, shop_lists):
    name = "recsys_kedro.training_lists.TrainingLists"
    dataset = FolderDataset(filepath=str(tmp_path / "lists"), model=name)
    dataset.save(shop_lists)
    assert type(dataset.load()) is type(shop_lists)


@pytest.fixture
def on_object_store(bucket, monkeypatch):
    monkeypatch.setattr("recsys_kedro.datasets.folder.load_obj", lambda _: Note)
    return FolderDataset(filepath=f"s3://{bucket}/made/note", model="tests.Note")


def test_on_an_object_store_it_is_one_object(on_object_store, bucket):
    with pytest.raises(DatasetError, match=r"s3://.*note does not exist.*Run the pipeline"):
        on_object_store.load()
    on_object_store.save(Note("old"))
    on_object_store.save(Note("new"))
    assert on_object_store.exists()
    assert on_object_store.load().text == "new"
    assert s3fs.S3FileSystem().find(bucket) == [f"{bucket}/made/note.tar"]


def test_failed_save_leaves_the_old_object(on_object_store):
    on_object_store.save(Note("old"))
    with pytest.raises(DatasetError):
        on_object_store.save(Note(None))
    assert on_object_store.load().text == "old"


def test_what_is_loaded_outlives_the_unpacked_files(bucket, shop_lists):
    name = "recsys_kedro.training_lists.TrainingLists"
    dataset = FolderDataset(filepath=f"s3://{bucket}/lists", model=name)
    dataset.save(shop_lists)
    assert (dataset.load().features == shop_lists.features).all()
