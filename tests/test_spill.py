import polars as pl

from recsys_kedro.spill import SpillFolder


def test_a_table_is_its_pieces_in_the_order_of_writing(tmp_path):
    spill = SpillFolder(tmp_path)
    pieces = [pl.DataFrame({"x": [row], "y": [f"{row}"]}) for row in range(12)]
    for piece in pieces:
        spill.append("events", piece)
    spill.append("rejected", pl.DataFrame({"z": [1.0]}))
    assert spill.scan("events").collect().equals(pl.concat(pieces))
    assert [piece["x"].item() for piece in spill.pieces("events")] == list(range(12))
    assert spill.scan("rejected").collect().columns == ["z"]


def test_a_table_without_rows_keeps_its_types(tmp_path):
    spill = SpillFolder(tmp_path)
    spill.append("events", pl.DataFrame(schema={"x": pl.Datetime("us", "UTC")}))
    assert spill.scan("events").collect_schema() == {"x": pl.Datetime("us", "UTC")}
