import polars as pl

from recsys_kedro.ranking.cold_start import popular_spread

POPULARITY = pl.DataFrame(
    {
        "product_id": ["a1", "a2", "a3", "b1", "c1", "none"],
        "category": ["a", "a", "a", "b", "c", None],
        "score": [9.0, 8.0, 7.0, 3.0, 2.0, 1.0],
    }
)


def test_at_most_two_of_a_category_before_the_others():
    spread = popular_spread(POPULARITY, 6)
    assert spread["product_id"].to_list() == ["a1", "a2", "b1", "c1", "none", "a3"]
    assert spread["rank"].to_list() == [1, 2, 3, 4, 5, 6]


def test_list_is_no_longer_than_the_catalogue():
    assert popular_spread(POPULARITY, 100).height == 6


def test_excluded_products_are_left_out():
    spread = popular_spread(POPULARITY, 2, exclude=pl.Series(["a1", "b1", "unknown"]))
    assert spread["product_id"].to_list() == ["a2", "a3"]


def test_same_popularity_is_ordered_by_id():
    same = POPULARITY.with_columns(score=pl.lit(1.0))
    assert popular_spread(same, 3, per_category=1)["product_id"].to_list() == ["a1", "b1", "c1"]


def test_empty_catalogue_gives_an_empty_list():
    assert popular_spread(POPULARITY.clear(), 5).is_empty()
