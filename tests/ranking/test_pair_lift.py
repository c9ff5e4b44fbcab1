import numpy as np
import polars as pl
import pytest

from recsys_kedro.ranking.pair_lift import pair_lifts
from recsys_kedro.training_lists import SamplingOptions, TrainingLists
from recsys_kedro.vocabulary import Vocabulary


def lists_of(values, taken, proposed=None):
    count = len(values)
    label = np.array(taken, bool)
    return TrainingLists(
        requests=pl.DataFrame({"user_id": ["u"]}),
        products=Vocabulary.fit(["a"]),
        feature_names=("age", "price"),
        offsets=np.array([0, count]),
        product=np.zeros(count, np.int32),
        features=np.stack([np.ones(count), values], axis=1).astype(np.float16),
        label=label,
        taken=np.zeros(count, bool),
        proposed=np.ones(count, bool) if proposed is None else np.array(proposed, bool),
        options=SamplingOptions(),
    )


def test_lifts_by_hand():
    """Half of all is taken: nothing of the zeros, half of the low ones, all of the high ones."""
    lists = lists_of([0, 0, 1, 2, 3, 4], [0, 0, 0, 1, 1, 1])
    lifts = pair_lifts(lists, ["price"], bins=2)
    assert lifts.drop("feature").rows() == [
        (0, 0.0, 0.0, 2, 0.0, 0.0),
        (1, 1.0, 2.0, 2, 1 / 2, 1.0),
        (2, 3.0, 4.0, 2, 1.0, 2.0),
    ]
    assert lifts["feature"].unique().to_list() == ["price"]


def test_equal_values_share_a_bin():
    lifts = pair_lifts(lists_of([5, 5, 5, 9], [1, 0, 0, 1]), ["price"], bins=10)
    assert lifts.select("low", "high", "rows").rows() == [(5, 5, 3), (9, 9, 1)]


def test_what_no_source_proposed_does_not_count():
    lists = lists_of([1, 1, 0], [1, 0, 1], proposed=[1, 1, 0])
    assert pair_lifts(lists, ["price"]).select("rows", "taken", "lift").rows() == [(2, 1 / 2, 1)]


def test_no_more_rows_than_asked_for_are_looked_at():
    assert pair_lifts(lists_of([1] * 10, [0, 1] * 5), ["price"], most=5)["rows"].sum() <= 5


def test_lifts_average_to_one(shop_lists):
    lifts = pair_lifts(shop_lists, list(shop_lists.feature_names))
    means = lifts.group_by("feature").agg(
        (pl.col("lift") * pl.col("rows")).sum() / pl.col("rows").sum()
    )
    assert means["lift"].to_list() == pytest.approx([1.0] * len(shop_lists.feature_names))


def test_an_unknown_feature_is_named():
    with pytest.raises(ValueError, match=r"no pair feature \['prize'\], only age, price"):
        pair_lifts(lists_of([1], [1]), ["prize"])
