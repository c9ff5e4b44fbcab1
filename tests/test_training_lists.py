from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.ranking.candidates import CandidateOptions
from recsys_kedro.ranking.season import SEASON_FEATURES
from recsys_kedro.splits import targets_between
from recsys_kedro.training_lists import HISTORY_LENGTH, SamplingOptions, TrainingLists
from recsys_kedro.training_requests import LABEL_END, list_times, training_requests

ARRAYS = ("offsets", "product", "features", "label", "taken", "proposed")


def assert_same_lists(left, right):
    assert left.requests.equals(right.requests)
    assert left.feature_names == right.feature_names
    assert left.options == right.options
    assert left.products.ids.to_list() == right.products.ids.to_list()
    for name in ARRAYS:
        one, other = getattr(left, name), getattr(right, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def rows_of(lists):
    """(N,) the query of each list row."""
    return np.repeat(np.arange(lists.requests.height), np.diff(lists.offsets))


def described(lists, queries):
    """Product and features of the rows of some queries (a Boolean expression) as one frame."""
    asked = lists.requests.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    frame = pl.DataFrame(
        {
            "row": rows_of(lists),
            c.PRODUCT_ID: lists.products.decode(lists.product),
            "label": lists.label,
            "taken": lists.taken,
            "proposed": lists.proposed,
            **dict(zip(lists.feature_names, lists.features.astype(np.float32).T, strict=True)),
        }
    )
    keys = (
        f.SNAPSHOT_TIME,
        c.USER_ID,
        c.AS_OF,
        LABEL_END,
        HISTORY_LENGTH,
        c.LIVE,
        *f.TOP_CATEGORIES,
    )
    frame = asked.filter(queries).select("row", *keys).join(frame, on="row")
    return frame.drop("row").sort(f.SNAPSHOT_TIME, c.USER_ID, c.AS_OF, c.PRODUCT_ID)


def test_labels_are_what_was_taken_before_the_label_ends(shop_lists, shop_events):
    lists = shop_lists
    asked = lists.requests.with_row_index("row").select("row", c.USER_ID, c.AS_OF, LABEL_END)
    expected = (
        shop_events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
        .join(asked, on=c.USER_ID)
        .filter(pl.col(c.TIMESTAMP).is_between(c.AS_OF, LABEL_END, "left"))
        .select("row", c.PRODUCT_ID)
        .unique()
    )
    products = lists.products.decode(lists.product[lists.label])
    labels = set(zip(rows_of(lists)[lists.label].tolist(), products, strict=True))
    assert labels == set(expected.iter_rows())
    assert asked["row"].is_in(expected["row"].implode()).all(), "every query has a label"


def test_taken_and_history_length_count_what_lies_before_the_query(shop_lists, shop_events):
    lists = shop_lists
    asked = lists.requests.with_row_index("row").select("row", c.USER_ID, c.AS_OF)
    past = shop_events.join(asked, on=c.USER_ID).filter(pl.col(c.TIMESTAMP) < pl.col(c.AS_OF))
    counts = np.bincount(past["row"], minlength=asked.height)
    assert lists.requests[HISTORY_LENGTH].to_list() == counts.tolist()
    bought = past.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE).select("row", c.PRODUCT_ID)
    products = lists.products.decode(lists.product[lists.taken])
    taken = set(zip(rows_of(lists)[lists.taken].tolist(), products, strict=True))
    assert len(taken) > 0
    assert taken <= set(bought.iter_rows())
    free = set(zip(rows_of(lists).tolist(), lists.products.decode(lists.product), strict=True))
    assert not (free - taken) & set(bought.iter_rows())


def test_scores_do_not_hold_the_target_of_their_row(shop_lists):
    first_time = shop_lists.label & ~shop_lists.taken
    assert first_time.sum() > 100
    for name in ("taken_times", "taken_age", "own_taken_short", "own_taken_long"):
        column = shop_lists.features[:, shop_lists.feature_names.index(name)]
        assert (column[first_time] == 0).all()
        assert (column[~first_time] != 0).any()


def test_no_label_reaches_past_as_of(shop_lists, shop_split):
    assert shop_lists.requests[LABEL_END].max() <= shop_split.as_of
    windows = shop_lists.requests.filter(~pl.col(c.LIVE))
    assert (windows[LABEL_END] - windows[c.AS_OF]).unique().to_list() == [shop_split.horizon]
    assert (windows[c.AS_OF] == windows[f.SNAPSHOT_TIME]).all()
    live = shop_lists.requests.filter(pl.col(c.LIVE))
    assert (live[c.AS_OF] >= live[f.SNAPSHOT_TIME]).all()
    assert (live[LABEL_END] > live[c.AS_OF]).all()


def test_lists_stand_as_long_as_asked(shop_lists):
    lists = shop_lists
    negatives = np.bincount(rows_of(lists), ~lists.label)
    assert negatives.max() <= 30 + lists.options.sampled_negatives
    kinds = lists.requests.group_by(f.SNAPSHOT_TIME).agg(
        pl.col(c.LIVE).sum().alias("live"), (~pl.col(c.LIVE)).sum().alias("window")
    )
    assert (kinds["live"].max(), kinds["window"].max()) == (20, 40)
    assert lists.label[~lists.proposed].all(), "what nobody proposed was taken"


def test_the_label_ends_before_its_end(build_shop_lists, shop_events, shop_snapshots, shop_split):
    time = shop_snapshots[f.SNAPSHOT_TIME].unique().sort()[2]
    snapshot = shop_snapshots.filter(pl.col(f.SNAPSHOT_TIME) == time)
    at_end = pl.col(c.TIMESTAMP).dt.date() == (time + shop_split.horizon).date()
    assert shop_events.filter(at_end, pl.col(c.EVENT_TYPE) == c.PURCHASE).height > 0
    events = shop_events.with_columns(
        pl.when(at_end)
        .then(pl.lit(time + shop_split.horizon))
        .otherwise(c.TIMESTAMP)
        .alias(c.TIMESTAMP)
    )
    window = ~pl.col(c.LIVE)
    tied = described(build_shop_lists(events, snapshot), window)
    assert tied.equals(described(build_shop_lists(events.filter(~at_end), snapshot), window))


def test_profiles_are_as_of_the_snapshot(shop_lists, shop_events):
    asked = shop_lists.requests.with_row_index("row")
    asked = asked.select("row", c.USER_ID, f.SNAPSHOT_TIME, f.TOTAL_PURCHASES)
    age = pl.col(f.SNAPSHOT_TIME) - pl.col(c.TIMESTAMP)
    bought = (
        shop_events.filter(pl.col(c.EVENT_TYPE) == c.PURCHASE)
        .join(asked, on=c.USER_ID)
        .filter(age > timedelta(0), age <= timedelta(days=30))
    )
    counts = np.bincount(bought["row"], minlength=asked.height)
    assert asked[f.TOTAL_PURCHASES].to_list() == counts.tolist()


def test_sampled_negatives_are_nothing_that_the_user_has_taken(build_shop_lists):
    lists = build_shop_lists(candidates=CandidateOptions(history=0), sampled_negatives=40)
    assert (lists.taken & lists.label).any()
    assert not (lists.taken & ~lists.label).any()


def test_all_rows_of_a_list_share_its_request(shop_lists):
    """So a negative has the context of its positive."""
    positive = np.bincount(rows_of(shop_lists), shop_lists.label)
    negative = np.bincount(rows_of(shop_lists), ~shop_lists.label)
    assert (positive > 0).all()
    assert (negative > 0).all()
    live = shop_lists.requests.filter(pl.col(c.LIVE))
    assert live[c.DEVICE_TYPE].is_not_null().all()


def test_the_future_leaves_no_trace_in_finished_lists(
    shop_lists, build_shop_lists, shop_events, shop_snapshots, shop_split
):
    """The lists of windows that are over are the same without any event after them."""
    times = shop_snapshots[f.SNAPSHOT_TIME].unique().sort()
    now = times[3] + shop_split.horizon
    over = pl.col(f.SNAPSHOT_TIME) + shop_split.horizon <= now
    truncated = build_shop_lists(shop_events.filter(pl.col(c.TIMESTAMP) < now))
    expected = described(shop_lists, over)
    assert expected[f.SNAPSHOT_TIME].n_unique() == 4
    assert expected[c.LIVE].n_unique() == 2
    assert described(truncated, over).equals(expected)


def test_later_snapshots_leave_no_trace_either(
    build_shop_lists, shop_events, shop_snapshots, shop_split
):
    """Not even by the products that the catalogue has later."""
    every = {"list_negatives": 1_000, "sampled_negatives": 0}
    times = shop_snapshots[f.SNAPSHOT_TIME].unique().sort()
    now = times[1] + shop_split.horizon
    before = shop_snapshots.filter(pl.col(f.SNAPSHOT_TIME) <= times[1])
    truncated = build_shop_lists(shop_events.filter(pl.col(c.TIMESTAMP) < now), before, **every)
    full = build_shop_lists(snapshots=shop_snapshots, **every)
    assert len(truncated.products) < len(full.products)
    mine, all_ = (
        described(truncated, pl.lit(value=True)),
        described(full, pl.col(f.SNAPSHOT_TIME) <= times[1]),
    )
    known = pl.col(c.PRODUCT_ID).is_in(truncated.products.ids.implode())
    assert mine.height > 1_000
    assert all_.filter(~known)["label"].all()
    names = truncated.feature_names
    assert mine.drop(names).equals(all_.filter(known).drop(names))
    np.testing.assert_allclose(
        mine.select(names).to_numpy(), all_.filter(known).select(names).to_numpy(), atol=2e-3
    )


def test_what_happens_after_a_snapshot_changes_only_labels(
    build_shop_lists, shop_events, shop_snapshots
):
    every = {"list_negatives": 1_000, "sampled_negatives": 0}
    time = shop_snapshots[f.SNAPSHOT_TIME].unique().sort()[2]
    snapshot = shop_snapshots.filter(pl.col(f.SNAPSHOT_TIME) == time)
    after = pl.col(c.TIMESTAMP) >= time
    other = pl.col(c.PRODUCT_ID).shuffle(seed=1).over(after)
    changed = shop_events.with_columns(
        pl.when(after).then(other).otherwise(c.PRODUCT_ID).alias(c.PRODUCT_ID)
    )
    window = ~pl.col(c.LIVE)
    lists = [
        described(build_shop_lists(events, snapshot, **every), window)
        for events in (shop_events, changed)
    ]
    assert not lists[0].filter("label").equals(lists[1].filter("label"))
    proposed = [each.filter("proposed").drop("label", "proposed") for each in lists]
    assert proposed[0].height > 1_000
    assert proposed[0].equals(proposed[1])


def test_the_same_seed_gives_the_same_lists(shop_lists, build_shop_lists):
    assert_same_lists(build_shop_lists(), shop_lists)


def test_another_seed_gives_other_lists(shop_lists, build_shop_lists):
    assert not build_shop_lists(seed=8).requests.equals(shop_lists.requests)


def test_known_at_a_cut(shop_lists, shop_split):
    known = shop_lists.known_at(shop_split.validation_start)
    assert 0 < known.requests.height < shop_lists.requests.height
    assert known.requests[LABEL_END].max() <= shop_split.validation_start
    kept = pl.col(LABEL_END) <= shop_split.validation_start
    assert known.requests.equals(shop_lists.requests.filter(kept))
    every = pl.lit(value=True)
    assert described(known, every).equals(described(shop_lists, kept))


def test_known_at_a_cut_of_the_latest_snapshots(shop_lists, shop_split):
    cut = shop_split.test_start
    known = shop_lists.known_at(cut, 2)
    windows = known.requests.filter(~pl.col(c.LIVE))[f.SNAPSHOT_TIME].unique().sort().to_list()
    assert windows == [cut - timedelta(days=21), cut - timedelta(days=14)]
    assert known.requests[f.SNAPSHOT_TIME].min() == windows[0]
    assert known.requests[LABEL_END].max() <= cut
    assert described(known, pl.lit(value=True)).equals(
        described(shop_lists, (pl.col(LABEL_END) <= cut) & (pl.col(f.SNAPSHOT_TIME) >= windows[0]))
    )


def test_nothing_known_and_everything_known(shop_lists, shop_split):
    none = shop_lists.known_at(shop_lists.requests[f.SNAPSHOT_TIME].min(), 3)
    assert none.requests.is_empty()
    assert none.offsets.tolist() == [0]
    assert none.features.shape == (0, len(shop_lists.feature_names))
    assert_same_lists(shop_lists.known_at(shop_split.as_of), shop_lists)


def test_save_and_load(shop_lists, tmp_path):
    shop_lists.save(tmp_path / "folder" / "lists")
    assert_same_lists(TrainingLists.load(tmp_path / "folder" / "lists"), shop_lists)


def test_a_product_that_no_snapshot_knows_is_nobodys_label(
    build_shop_lists, shop_events, shop_snapshots, shop_split
):
    time = shop_snapshots[f.SNAPSHOT_TIME].unique().sort()[2]
    snapshot = shop_snapshots.filter(pl.col(f.SNAPSHOT_TIME) == time)
    late = (pl.col(c.TIMESTAMP) >= time) & (pl.col(c.SOURCE_ROW) % 2 == 0)
    unknown = pl.when(late).then(pl.lit("unknown")).otherwise(c.PRODUCT_ID)
    events = shop_events.with_columns(unknown.alias(c.PRODUCT_ID))
    lists = build_shop_lists(events, snapshot)
    truth = targets_between(events, time, lists.requests[LABEL_END].max(), shop_split)
    labels = lists.products.decode(lists.product[lists.label])
    users = lists.requests[c.USER_ID].to_numpy()[rows_of(lists)[lists.label]]
    assert "unknown" in truth[c.PRODUCT_ID]
    assert set(zip(users, labels, strict=True)) <= set(truth.iter_rows())


def test_no_labels_at_all_is_an_error(build_shop_lists, shop_events, shop_snapshots):
    visits = shop_events.with_columns(pl.lit(c.PRODUCT_VIEW).alias(c.EVENT_TYPE))
    few = shop_snapshots.filter(pl.col(f.SNAPSHOT_TIME) == pl.col(f.SNAPSHOT_TIME).min())
    with pytest.raises(ValueError, match=r"no query with a label.*smaller split\.horizon_days"):
        build_shop_lists(visits, few)


def test_the_lists_of_some_queries_some_of_them_twice(shop_lists):
    taken = shop_lists.take(np.array([5, 2, 5]))
    assert taken.requests.equals(shop_lists.requests[[5, 2, 5]])
    for place, query in enumerate((5, 2, 5)):
        mine = slice(*taken.offsets[place : place + 2])
        theirs = slice(*shop_lists.offsets[query : query + 2])
        for name in ARRAYS[1:]:
            np.testing.assert_array_equal(
                getattr(taken, name)[mine], getattr(shop_lists, name)[theirs]
            )


def test_a_shop_of_less_than_a_year_has_no_season(shop_lists):
    assert not set(SEASON_FEATURES) & set(shop_lists.feature_names)
    assert shop_lists.options.scorers.season_days == 0


def test_list_times(shop_split, shop_events):
    """Two of the first fit, all later ones."""
    cut = shop_split.validation_start
    times = [cut + timedelta(days=days) for days in (7, 0, -7, -14, -21, -28, 20)]
    options = SamplingOptions(snapshots=2)
    chosen = list_times(times, cut, shop_events, shop_split, options)
    assert chosen == [cut + timedelta(days=days) for days in (-21, -14, -7, 0, 7, 20)]
    assert list_times(times[:3], cut, shop_events, shop_split, options) == sorted(times[:3])
    assert list_times([], cut, shop_events, shop_split, options) == []


def test_more_snapshots_where_those_have_few_lists(shop_split, shop_events):
    cut, week = shop_split.validation_start, timedelta(days=7)
    times = [cut - shop_split.horizon - number * week for number in range(6)]
    sizes = [
        training_requests(
            shop_events, time, shop_split, SamplingOptions(), np.random.default_rng(0)
        ).height
        for time in times
    ]
    assert min(sizes) > 1

    def chosen(**options):
        return list_times(times, cut, shop_events, shop_split, SamplingOptions(**options))

    assert chosen(snapshots=2, lists=sum(sizes[:2])) == times[1::-1]
    assert chosen(snapshots=2, lists=sum(sizes[:2]) + 1) == times[2::-1]
    one_of_each = {"window_queries": 1, "session_queries": 1}
    assert chosen(snapshots=2, lists=8, **one_of_each) == times[3::-1]
    assert chosen(snapshots=2, lists=10**9) == times[::-1]


def test_lists_of_more_snapshots_where_the_latest_have_few(shop_lists, shop_split):
    cut = shop_split.test_start
    known = shop_lists.known_at(cut)
    windows = known.requests.filter(~pl.col(c.LIVE))[f.SNAPSHOT_TIME].unique().sort()
    sizes = [known.known_at(cut, number).requests.height for number in range(1, len(windows) + 1)]
    assert len(sizes) > 3
    for lists, expected in ((sizes[1], 2), (sizes[1] + 1, 3), (sizes[2], 3), (10**9, len(sizes))):
        found = shop_lists.known_at(cut, 1, lists)
        assert_same_lists(found, shop_lists.known_at(cut, expected))
