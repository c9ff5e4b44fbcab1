import pytest
from kedro.io import DatasetError

from recsys_kedro.datasets.serving_log import ServingLogDataset
from recsys_kedro.schemas import IMPRESSIONS, SERVED_INPUTS


@pytest.mark.parametrize(
    ("table", "schema"), [("impressions", IMPRESSIONS), ("served_inputs", SERVED_INPUTS)]
)
def test_an_empty_folder_is_an_empty_table(table, schema, tmp_path):
    loaded = ServingLogDataset(table=table, filepath=str(tmp_path)).load()
    assert loaded.columns == list(schema.columns)
    assert loaded.is_empty()


def test_no_folder_says_what_to_do(tmp_path):
    log = ServingLogDataset(table="impressions", filepath=str(tmp_path / "none"))
    assert not log.exists()
    with pytest.raises(DatasetError, match=r"none' yet: start one with `make serve`"):
        log.load()


def test_unknown_table():
    with pytest.raises(DatasetError, match=r"table is 'clicks'; .* impressions, served_inputs"):
        ServingLogDataset(table="clicks", filepath="x")


def test_read_only(tmp_path):
    with pytest.raises(DatasetError, match="read only"):
        ServingLogDataset(table="impressions", filepath=str(tmp_path)).save("anything")
