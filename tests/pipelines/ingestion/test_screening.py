"""Whatever is held in memory at a time, the result is that of all in memory at once."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.config import OmegaConfigLoader
from pipelines.ingestion.in_memory import cut, ingested, told_products
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro.datasets.tables import TableDataset
from recsys_kedro.pipelines.ingestion import duplicates, screening
from recsys_kedro.pipelines.ingestion.figures import figures_of
from recsys_kedro.pipelines.ingestion.from_events import products_in, users_in
from recsys_kedro.pipelines.ingestion.nodes import build_events
from recsys_kedro.pipelines.ingestion.options import ExclusionRule, IngestionOptions, ShopOptions
from recsys_kedro.pipelines.ingestion.screening import in_blocks, numbered, screen_blocks
from recsys_kedro.settings import CONFIG_LOADER_ARGS
from recsys_kedro.spill import SpillFolder

START = datetime(2025, 1, 1, tzinfo=UTC)
SHOP = ShopOptions(exclude=[ExclusionRule(name="bots", column="user_id", equals=["bot"])])
PROJECT = Path(__file__).parents[3]
RETAIL = PROJECT / "data/01_raw/online_retail/online_retail_2010_2011.parquet"


def options(rows_per_part, **changes):
    return IngestionOptions(
        shop="mine", shops={"mine": SHOP}, rows_per_part=rows_per_part, **changes
    )


@pytest.fixture(scope="module")
def retail_options():
    loader = OmegaConfigLoader(str(PROJECT / "conf"), env="base", **CONFIG_LOADER_ARGS)
    return IngestionOptions.model_validate(loader["parameters"]["ingestion"])


def check(raw, pieces, settings_):
    """The parts of ``pieces``, put together, are what ``raw`` gives in memory."""
    wanted = ingested(raw, settings_)
    with tempfile.TemporaryDirectory() as folder:
        got = screen_blocks(pieces, SpillFolder(Path(folder)), settings_, None)
        assert got.screening.counts == wanted["counts"]
        assert_frame_equal(pl.concat(got.rejected), wanted["rejected"])
        table = got.events.table.collect().sort(c.SOURCE_ROW)
        assert_frame_equal(table, wanted["admitted"])
        if table.is_empty():
            return got
        events = pl.concat(build_events(got.events, settings_))
        assert_frame_equal(events, wanted["events"])
        products = told_products(wanted["admitted"])
        assert_frame_equal(
            products_in(got.events.table), products, check_column_order=False, check_exact=True
        )
        first = wanted["events"].group_by(c.USER_ID).agg(pl.col(c.TIMESTAMP).min().alias("first"))
        assert users_in(got.events.table).rows() == first.sort(c.USER_ID).rows()
        figures = figures_of(got.events, settings_.session_gap_minutes)
        assert figures["sessions"] == events[c.SESSION_ID].n_unique()
        assert figures["users_with_events"] == events[c.USER_ID].n_unique()
        assert figures["products_with_events"] == events[c.PRODUCT_ID].n_unique()
        kinds = events[c.EVENT_TYPE].value_counts().sort("count", c.EVENT_TYPE, descending=True)
        assert list(figures["events_by_type"].items()) == kinds.rows()
        assert figures["last_time"] == str(events[c.TIMESTAMP].max())
    return got


ROWS = st.fixed_dictionaries(
    {
        c.EVENT_ID: st.sampled_from([None, "e1", "e2"]),
        c.EVENT_TYPE: st.sampled_from([c.PRODUCT_VIEW, c.PURCHASE, c.RETURN, "unknown"]),
        c.USER_ID: st.sampled_from(["a", "b", "ä", "bot", "a-1", None]),
        c.PRODUCT_ID: st.sampled_from(["p", "q"]),
        c.TIMESTAMP: st.integers(0, 3).map(lambda step: START + timedelta(minutes=20 * step)),
        c.SESSION_ID: st.sampled_from([None, "a-1", "s"]),
        c.PRICE: st.sampled_from([None, 0.1, 0.2, 0.7, -1.0]),
        c.NAME: st.sampled_from([None, "x", "y"]),
        "context": st.sampled_from([None, {"category": None}, {"category": "tea"}]),
    }
)
SCHEMA = {
    **dict.fromkeys((c.EVENT_ID, c.EVENT_TYPE, c.USER_ID, c.PRODUCT_ID), pl.String),
    c.TIMESTAMP: pl.Datetime("us", "UTC"),
    c.SESSION_ID: pl.String,
    c.PRICE: pl.Float64,
    c.NAME: pl.String,
    "context": pl.Struct({"category": pl.String}),
}


@settings(max_examples=40)
@given(
    rows=st.lists(ROWS, max_size=25),
    sizes=st.lists(st.integers(0, 4), max_size=5),
    at_once=st.integers(1, 8),
    rows_per_part=st.integers(1, 10),
    hashes_at_once=st.integers(1, 3),
)
def test_any_rows_in_any_blocks_and_parts_come_out_as_in_memory(
    rows, sizes, at_once, rows_per_part, hashes_at_once
):
    raw = pl.DataFrame(rows, schema=SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "ROWS_AT_ONCE", at_once)
        patch.setattr(duplicates, "HASHES_AT_ONCE", hashes_at_once)
        check(raw, cut(raw, sizes), options(rows_per_part))


@pytest.mark.parametrize(("at_once", "rows_per_part"), [(10_000_000, 10_000_000), (7_000, 3_000)])
def test_simulated_shop_comes_out_as_in_memory(shop, monkeypatch, at_once, rows_per_part):
    monkeypatch.setattr(screening, "ROWS_AT_ONCE", at_once)
    raw = pl.concat([shop.events, shop.events[5_000:6_000]]).drop(c.SESSION_ID)
    got = check(raw, raw, options(rows_per_part))
    assert got.screening.counts["duplicates"] == {"exact": 1_000, "event_id": 0}
    assert len(got.events.borders) == (shop.events.height - 1) // rows_per_part


def test_included_shop_comes_out_as_in_memory(monkeypatch, retail_options):
    monkeypatch.setattr(screening, "ROWS_AT_ONCE", 100_000)
    settings_ = retail_options.model_copy(update={"rows_per_part": 50_000})
    raw = TableDataset(filepath=str(RETAIL)).load()
    blocks = TableDataset(filepath=str(RETAIL), in_blocks=True).load()
    got = check(raw, blocks, settings_)
    counts = got.screening.counts
    good = counts["kept"] + sum(counts["duplicates"].values())
    assert len(got.events.borders) == (good - 1) // settings_.rows_per_part


def test_blocks_have_the_rows_asked_for_whatever_the_pieces():
    frame = pl.DataFrame({"x": range(10)})
    blocks = list(in_blocks(cut(frame, [1, 0, 5]), 4))
    assert [block["x"].to_list() for block in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_empty_source_is_one_empty_block_and_a_full_one_has_none():
    assert [block.shape for block in in_blocks(pl.DataFrame({"x": []}), 4)] == [(0, 1)]
    assert [block.height for block in in_blocks(pl.DataFrame({"x": range(8)}), 4)] == [4, 4]


def test_rows_are_numbered_over_all_blocks_unless_they_are():
    blocks = [pl.DataFrame({"x": [5, 6]}), pl.DataFrame({"x": [7]})]
    assert [b[c.SOURCE_ROW].to_list() for b in numbered(blocks)] == [[1, 2], [3]]
    own = [block.with_columns(pl.lit(9).alias(c.SOURCE_ROW)) for block in blocks]
    assert [b[c.SOURCE_ROW].to_list() for b in numbered(own)] == [[9, 9], [9]]


def test_a_missing_column_is_named_before_anything_is_kept(tmp_path):
    raw = pl.DataFrame({c.USER_ID: ["a"], c.PRODUCT_ID: ["p"], c.EVENT_TYPE: ["purchase"]})
    with pytest.raises(ValueError, match="the source has no column 'timestamp'"):
        screen_blocks(raw, SpillFolder(tmp_path), options(1), None)
    assert not any(tmp_path.iterdir())
