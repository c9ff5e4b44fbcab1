from datetime import UTC, datetime, timedelta

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.plotting import events as charts
from recsys_kedro.plotting.bars import top_counts


def purchases(*rows):
    """Rows of (user, product, session, day); day 1 is Wednesday, 2010-12-01."""
    users, products, sessions, days = zip(*rows, strict=True)
    start = datetime(2010, 12, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            c.USER_ID: users,
            c.PRODUCT_ID: products,
            c.SESSION_ID: sessions,
            c.TIMESTAMP: [start + timedelta(days=day - 1) for day in days],
            c.EVENT_TYPE: [c.PURCHASE] * len(rows),
        },
        schema_overrides={c.TIMESTAMP: pl.Datetime("us", "UTC")},
    )


def test_counts_by_a_products_column():
    events = purchases(
        ("u", "a", "1", 1), ("u", "b", "1", 1), ("v", "a", "2", 2), ("v", "x", "2", 2)
    )
    products = pl.DataFrame({c.PRODUCT_ID: ["a", "b"], c.CATEGORY: ["mug", "bag"]})
    counts = top_counts(events, products, c.CATEGORY, most=1)
    assert counts.rows() == [("mug", 2, 100 * 2 / 4)]


def test_weeks_that_the_data_covers_in_part_are_left_out():
    one_a_day = [("u", "a", str(day), day) for day in range(1, 25)]  # a Wednesday to a Friday
    line = charts.plot_weekly_events(purchases(*one_a_day)).axes[0].lines[0]
    assert list(line.get_ydata()) == [7, 7]


def test_repeats_are_counted_by_user_and_product():
    events = purchases(
        ("u", "a", "1", 1), ("u", "a", "2", 2), ("u", "b", "2", 2), ("v", "a", "3", 3)
    )
    line = charts.plot_repeat_share(events).axes[0].lines[0]
    assert list(line.get_ydata()) == [1 / 4]


def test_baskets_fall_into_doubling_bins():
    events = purchases(*[("u", str(n), "big", 1) for n in range(5)], ("u", "0", "small", 2))
    sizes, visits = charts.plot_baskets(events).axes
    assert [bar.get_height() for bar in sizes.patches] == [1, 0, 1, 0, 0, 0, 0]
    assert sizes.get_title(loc="left") == "Basket sizes: median 3"  # (1 + 5) / 2
    assert [bar.get_height() for bar in visits.patches] == [0, 1, 0, 0, 0, 0, 0]


def test_long_tail_names_the_share_of_the_top():
    events = purchases(*[("u", "hit", "1", 1)] * 11, *[("u", str(n), "1", 1) for n in range(9)])
    texts = [text.get_text() for text in charts.plot_long_tails(events).axes[0].texts]
    assert texts == ["the top 10 % of products\nhave 55% of the events"]  # 11 of 20 events


def test_ingestion_shows_only_what_happened():
    report = {
        "rows_read": 7,
        "kept": 5,
        "excluded": {"no_customer": 2},
        "duplicates": {"exact": 0},
        "rejected": {},
    }
    axes = charts.plot_ingestion(report).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "kept",
        "excluded: no customer",
    ]
    assert [bar.get_width() for bar in axes.patches] == [5, 2]


def test_hours_fall_on_their_weekday():
    image = charts.plot_hours(purchases(("u", "a", "1", 1))).axes[0].images[0]
    shares = image.get_array()
    assert shares[2, 0] == 1  # Wednesday, midnight
    assert shares.sum() == 1
