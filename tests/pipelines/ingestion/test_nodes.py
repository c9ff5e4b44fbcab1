import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_kedro import columns as c
from recsys_kedro import schemas
from recsys_kedro.datasets.tables import TableDataset
from recsys_kedro.pipelines.ingestion import screening
from recsys_kedro.pipelines.ingestion.nodes import (
    admit_events,
    build_events,
    build_products,
    build_users,
    land_events,
    report_ingestion,
    screen_events,
)
from recsys_kedro.pipelines.ingestion.options import ExclusionRule, IngestionOptions, ShopOptions
from recsys_kedro.spill import SpillFolder
from recsys_kedro.streams.landing import LandingReport
from recsys_kedro.streams.options import LandingOptions

OPTIONS = IngestionOptions(
    shop="mine", event_type_aliases={"view": c.PRODUCT_VIEW}, max_rejected_share=0.5
)
NOT_LANDED = LandingReport(topic="events")
NO_TABLE = pl.DataFrame(schema={c.SOURCE_ROW: pl.Int64})


def event(**changes):
    return {
        "event_type": "view",
        "user_id": "u1",
        "product_id": "p1",
        "timestamp": "2025-10-19T10:30:00Z",
        "device_type": "mobile",
        "context": {"category": "toys", "price": 2.5, "search_query": "bear"},
    } | changes


@pytest.fixture
def read(tmp_path):
    """Events, one JSON object or text a line, as the dataset reads them."""

    def write_and_read(*lines):
        path = tmp_path / "events.jsonl"
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(text))
        return TableDataset(filepath=str(path)).load()

    return write_and_read


@pytest.fixture
def screen(tmp_path_factory):
    """Screens raw events in an empty folder of their own."""

    def screen(raw, options=OPTIONS):
        spill = SpillFolder(tmp_path_factory.mktemp("spill"))
        return screen_events(raw, spill, options, None, NOT_LANDED)

    return screen


def built(events, options=OPTIONS):
    """The event table from its parts."""
    return pl.concat(build_events(events, options))


def test_without_a_broker_nothing_is_landed_and_the_report_says_so(tmp_path):
    report = land_events(LandingOptions(folder=str(tmp_path)))
    assert report == LandingReport(topic="events", note=report.note)
    assert "bootstrap_servers is empty" in report.note
    assert not any(tmp_path.iterdir())


def test_views_of_the_source_arrive_as_product_views_with_context_at_top_level(read, screen):
    events = built(screen(read(event())).events)

    schemas.EVENTS.validate(events)
    row = events.row(0, named=True)
    assert row[c.EVENT_TYPE] == c.PRODUCT_VIEW
    assert (row[c.CATEGORY], row[c.PRICE], row[c.SEARCH_QUERY]) == ("toys", 2.5, "bear")
    assert (row[c.DEVICE_TYPE], row[c.QUANTITY], row[c.SESSION_ID]) == ("mobile", 1.0, "u1-1")


@pytest.mark.parametrize("numbered", [True, False])
def test_rows_that_are_judged_in_blocks_come_out_as_at_once(read, screen, monkeypatch, numbered):
    """A duplicate, a bad row and an excluded one, each in another block than the first row."""
    shop = ShopOptions(exclude=[ExclusionRule(name="bots", column="user_id", equals=["bot"])])
    options = OPTIONS.model_copy(update={"shops": {"mine": shop}})
    others = [event(user_id=f"u{number}") for number in range(2, 5)]
    raw = read(event(), *others, event(), event(price=-1), event(user_id="bot"))
    raw = raw if numbered else raw.drop(c.SOURCE_ROW)
    whole = screen(raw, options)
    monkeypatch.setattr(screening, "ROWS_AT_ONCE", 2)
    parts = screen(raw, options)
    assert whole.screening == parts.screening
    counts = whole.screening.counts
    assert counts["duplicates"]["exact"] == counts["excluded"]["bots"] == 1
    assert_frame_equal(built(whole.events), built(parts.events))
    rejected = [pl.concat(screened.rejected) for screened in (whole, parts)]
    assert_frame_equal(*rejected)
    assert rejected[0][c.SOURCE_ROW].to_list() == [6]


def test_every_row_is_kept_rejected_excluded_or_a_duplicate(read, screen):
    shop = ShopOptions(exclude=[ExclusionRule(name="bots", column="user_id", equals=["bot"])])
    options = OPTIONS.model_copy(update={"shops": {"mine": shop}})
    raw = read(
        event(event_id="e1"),
        event(event_id="e1"),
        event(event_id="e1", product_id="p2"),
        event(user_id="bot", timestamp="no time"),
        event(user_id=None),
        "{broken",
        event(product_id="p3"),
    )

    screened = screen(raw, options)

    assert screened.screening.counts == {
        "rows_read": 7,
        "excluded": {"bots": 1},
        "rejected": {"malformed_json": 1, "no_user": 1},
        "duplicates": {"exact": 1, "event_id": 1},
        "kept": 2,
    }
    assert pl.concat(screened.rejected)[c.SOURCE_ROW].to_list() == [5, 6]
    assert built(screened.events)[c.SOURCE_ROW].to_list() == [1, 7]


def test_late_rows_are_accepted_and_sorted_with_ties_in_source_order(read, screen):
    raw = read(
        event(product_id="late", timestamp="2025-10-19T12:00:00Z"),
        event(product_id="tie_1"),
        event(product_id="tie_2"),
        event(product_id="other", user_id="a"),
    )

    events = built(screen(raw).events)

    assert events[c.PRODUCT_ID].to_list() == ["other", "tie_1", "tie_2", "late"]


def test_too_many_bad_rows_stop_the_run_after_they_are_kept(read, screen):
    events, rejected, found = screen(read(event(), event(user_id="")))
    strict = OPTIONS.model_copy(update={"max_rejected_share": 0.4})

    assert pl.concat(rejected).height == 1
    assert admit_events(events, found, OPTIONS) is events
    with pytest.raises(ValueError, match=r"column 'user_id' has 1 bad values \(first: row 2"):
        admit_events(events, found, strict)


def test_excluded_rows_do_not_dilute_the_share(read, screen):
    shop = ShopOptions(exclude=[ExclusionRule(name="bots", column="user_id", equals=["bot"])])
    options = OPTIONS.model_copy(update={"shops": {"mine": shop}})
    bots = [event(user_id="bot", product_id=f"p{number}") for number in range(8)]
    raw = read(*bots, event(), event(user_id=""), event(user_id=""))
    events, _, found = screen(raw, options)

    with pytest.raises(ValueError, match=r"66\.67% of 3 rows"):
        admit_events(events, found, options)


def test_nothing_left_is_an_error(read, screen):
    shop = ShopOptions(exclude=[ExclusionRule(name="all", column="user_id", matches=".")])
    options = OPTIONS.model_copy(update={"shops": {"mine": shop}})
    events, _, found = screen(read(event()), options)

    with pytest.raises(ValueError, match=r"none of 1 rows is left.*'all': 1"):
        admit_events(events, found, options)


def test_products_and_users_hold_everybody_of_table_and_events(read, screen):
    raw = read(event(), event(product_id="p2"))
    admitted = screen(raw).events
    raw_products = pl.DataFrame({c.PRODUCT_ID: ["p1", "p9"], c.CATEGORY: ["own", "own"]})
    raw_users = pl.DataFrame({c.USER_ID: ["u9"], c.SEGMENT: ["gold"]})

    products = build_products(admitted, raw_products, OPTIONS)
    users = build_users(admitted, raw_users, OPTIONS)

    schemas.PRODUCTS.validate(products)
    schemas.USERS.validate(users)
    assert products.select(c.PRODUCT_ID, c.CATEGORY, c.PRICE).rows() == [
        ("p1", "own", 2.5),
        ("p2", "toys", 2.5),
        ("p9", "own", None),
    ]
    assert users.select(c.USER_ID, c.SEGMENT).rows() == [("u1", None), ("u9", "gold")]


def test_report_is_json_and_adds_up(read, screen):
    events, _, found = screen(read(event(), event(product_id="p2")))
    products = build_products(events, NO_TABLE, OPTIONS)
    users = build_users(events, NO_TABLE, OPTIONS)

    report = report_ingestion(found, events, products, users, OPTIONS)

    assert json.loads(json.dumps(report)) == report
    assert report["rows_read"] == report["kept"] == 2
    assert report["events_by_type"] == {c.PRODUCT_VIEW: 2}
    assert (report["products"], report["users"], report["sessions"]) == (2, 1, 1)
    assert report["first_time"] == "2025-10-19 10:30:00+00:00"


def test_the_same_source_gives_the_same_tables(read, screen):
    raw = read(*[event(product_id=f"p{n % 5}", timestamp=f"2025-10-{n + 1:02}") for n in range(20)])
    first, second = (screen(raw).events for _ in range(2))

    assert built(first).equals(built(second))
    assert build_products(first, NO_TABLE, OPTIONS).equals(
        build_products(second, NO_TABLE, OPTIONS)
    )
