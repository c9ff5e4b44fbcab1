from datetime import UTC, datetime
from math import isnan, log2

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.metrics.beyond_accuracy import (
    Catalogue,
    coverage,
    diversity,
    gini,
    make_catalogue,
    novelty,
    popularity,
)
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

CUT = datetime(2024, 3, 1, tzinfo=UTC)
SHOP = Catalogue(
    vocabulary=Vocabulary.fit(["a", "b", "c", "d"]),
    category_P=np.array([0, 0, 1, -1]),
    takers_P=np.array([8, 2, 1, 0]),
    users=16,
)


def test_novelty_is_the_mean_self_information_in_bits():
    expected = (log2(16 / 8) + log2(16 / 2)) / 2
    assert novelty(np.array([[0, 1, 2]]), SHOP, k=2) == pytest.approx([expected])


def test_a_product_that_nobody_took_is_as_novel_as_one_with_one_taker():
    assert novelty(np.array([[3]]), SHOP, k=1) == pytest.approx([log2(16 / 1)])


def test_popularity_is_the_mean_percentile():
    expected = ((4 - 0.5) / 4 + (1 - 0.5) / 4) / 2
    assert popularity(np.array([[0, 3]]), SHOP, k=2) == pytest.approx([expected])


def test_equally_popular_products_share_a_percentile_of_one_half():
    shop = Catalogue(SHOP.vocabulary, SHOP.category_P, np.array([5, 5, 5, 5]), 16)
    assert shop.percentile_P == pytest.approx([0.5] * 4)


def test_diversity_is_the_share_of_pairs_of_different_categories():
    lists = np.array([[0, 1, 2], [0, 1, -1], [0, 2, -1]])
    assert diversity(lists, SHOP, k=3) == pytest.approx([2 / 3, 0, 1])


def test_diversity_leaves_out_products_without_a_category():
    assert diversity(np.array([[0, 2, 3]]), SHOP, k=3) == pytest.approx([1.0])


@pytest.mark.parametrize("row", [[-1, -1], [0, -1], [0, 3]])
def test_diversity_of_fewer_than_two_known_products_is_undefined(row):
    assert isnan(diversity(np.array([row]), SHOP, k=2)[0])


def test_diversity_of_a_shop_without_categories_is_undefined():
    shop = Catalogue(SHOP.vocabulary, np.full(4, -1), SHOP.takers_P, 16)
    assert np.isnan(diversity(np.array([[0, 1]]), shop, k=2)).all()


def test_coverage_counts_each_product_once_and_only_within_k():
    lists = np.array([[0, 1, 3], [1, 0, 2]])
    assert coverage(lists, SHOP, k=2) == 2 / 4
    assert coverage(lists, SHOP, k=3) == 4 / 4


def test_gini_is_zero_for_equal_and_highest_for_single_exposure():
    assert gini(np.array([[0, 1], [2, 3]]), SHOP, k=2) == pytest.approx(0)
    assert gini(np.array([[0], [0]]), SHOP, k=1) == pytest.approx(3 / 4)


def test_gini_equals_the_mean_absolute_difference():
    shown = np.array([[0, 1], [0, 1], [0, 2]])
    x = np.array([3, 2, 1, 0])
    expected = np.abs(x[:, None] - x).sum() / (2 * len(x) ** 2 * x.mean())
    assert gini(shown, SHOP, k=2) == pytest.approx(expected)


def test_empty_lists_have_no_novelty_no_gini_and_no_coverage():
    nothing = np.full((2, 3), -1)
    assert np.isnan(novelty(nothing, SHOP, k=3)).all()
    assert isnan(gini(nothing, SHOP, k=3))
    assert coverage(nothing, SHOP, k=3) == 0


def test_the_catalogue_knows_nothing_from_the_cut_on():
    before, after = datetime(2024, 2, 29, tzinfo=UTC), CUT
    events = pl.DataFrame(
        [
            ("u1", "a", c.PURCHASE, before),
            ("u1", "a", c.PURCHASE, before),
            ("u2", "a", c.PURCHASE, before),
            ("u2", "b", c.PRODUCT_VIEW, before),
            ("u3", "b", c.PURCHASE, after),
            ("u3", "late", c.PURCHASE, after),
        ],
        {
            c.USER_ID: pl.String,
            c.PRODUCT_ID: pl.String,
            c.EVENT_TYPE: pl.String,
            c.TIMESTAMP: UTC_TIME,
        },
        orient="row",
    )
    products = pl.DataFrame(
        [("a", "toys", None), ("listed", None, before), ("future", "toys", after)],
        {c.PRODUCT_ID: pl.String, c.CATEGORY: pl.String, c.CREATED_AT: UTC_TIME},
        orient="row",
    )
    catalogue = make_catalogue(events, products, CUT, (c.PURCHASE,))
    assert catalogue.vocabulary.ids.to_list() == ["a", "b", "listed"]
    assert catalogue.takers_P.tolist() == [2, 0, 0]
    assert catalogue.category_P.tolist() == [0, -1, -1]
    assert catalogue.users == 2
