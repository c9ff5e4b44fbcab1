from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from recsys_kedro.queries import build_queries
from recsys_kedro.ranking.reasons import with_reasons
from recsys_kedro.vocabulary import Vocabulary

NOW = datetime(2024, 6, 1, tzinfo=UTC)
PRODUCTS = pl.DataFrame(
    {
        "product_id": ["cup", "pot", "tea"],
        "name": ["Blue cup", "Tea pot", "Green tea"],
        "category": ["kitchen", "kitchen", None],
    }
)


@pytest.fixture
def queries():
    """One user who bought a tea 21 days ago and a cup 3 days ago; one without history."""
    events = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "product_id": ["tea", "cup"],
            "event_type": ["purchase", "purchase"],
            "timestamp": [NOW - timedelta(days=21), NOW - timedelta(days=3)],
            "session_id": ["1", "2"],
            "price": [1.0, 2.0],
            "quantity": [1.0, 1.0],
            "source_row": [1, 2],
        }
    )
    requests = pl.DataFrame({"user_id": ["u", "quiet"], "as_of": [NOW, NOW]})
    return build_queries(events, requests)


def reasons(queries, rows, **similar):
    recommended = pl.DataFrame(rows, schema=["query", "product_id", "source"], orient="row")
    return with_reasons(recommended, queries, PRODUCTS, **similar)["reason"].to_list()


def test_history_says_when(queries):
    rows = [(0, "cup", "history"), (0, "tea", "history")]
    assert reasons(queries, rows) == ["You bought it 3 days ago", "You bought it 3 weeks ago"]


def test_neighbour_names_the_past_product_that_is_most_similar(queries):
    similarity = np.zeros((3, 3), np.float32)
    similarity[0, 1], similarity[2, 1] = 0.2, 0.7  # cup -> pot, tea -> pot
    told = reasons(
        queries,
        [(0, "pot", "neighbours"), (1, "pot", "neighbours")],
        vocabulary=Vocabulary.fit(["cup", "pot", "tea"]),
        neighbours=sparse.csr_matrix(similarity),
    )
    assert told == ["Goes with Green tea", "Fits your taste"]


def test_other_sources_have_words_of_their_own(queries):
    rows = [(1, "cup", source) for source in ("trending", "category", "new", "popular", "ials")]
    assert reasons(queries, rows) == [
        "Popular right now",
        "Popular in kitchen",
        "New in kitchen",
        "Popular in this shop",
        "Fits your taste",
    ]


def test_product_without_a_category_is_of_the_shop(queries):
    assert reasons(queries, [(1, "tea", "new")]) == ["New in the shop"]


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (1, "in the last two days"),
        (2, "2 days ago"),
        (13, "13 days ago"),
        (14, "2 weeks ago"),
        (59, "8 weeks ago"),
        (60, "2 months ago"),
        (365, "12 months ago"),
    ],
)
@pytest.mark.parametrize(
    ("event_type", "verb"), [("purchase", "bought"), ("product_view", "looked at")]
)
def test_how_long_ago_and_what(days, told, event_type, verb):
    events = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "product_id": ["tea", "tea"],
            "event_type": [event_type, "return"],
            "timestamp": [NOW - timedelta(days=days), NOW - timedelta(hours=1)],
            "session_id": ["1", "2"],
            "price": [1.0, 1.0],
            "quantity": [1.0, 1.0],
            "source_row": [1, 2],
        }
    )
    asked = build_queries(events, pl.DataFrame({"user_id": ["u"], "as_of": [NOW]}))
    assert reasons(asked, [(0, "tea", "history")]) == [f"You {verb} it {told}"]
