import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_kedro.columns import EventType
from recsys_kedro.ranking.reasons import Dealings, reasons, support

CUP, POT, TEA = range(3)
NAMES = ["Blue cup", "Tea pot", "Green tea"]
CATEGORIES = ["kitchen", "kitchen", None]
NOBODY = Dealings.of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def dealings(*rows):
    """Of ``(product, event type, days ago)``."""
    product, kind, age = zip(*rows, strict=True)
    return Dealings.of(np.array(product), np.array(kind), np.array(age, np.float32))


BUYER = dealings((TEA, EventType.PURCHASE, 21), (CUP, EventType.PURCHASE, 3))


def told(past, *rows, speaks=None):
    product, sources = zip(*rows, strict=True)
    return reasons(np.array(product), sources, past, speaks, NAMES, CATEGORIES)


def test_dealings_are_the_latest_of_each_product():
    past = dealings(
        (CUP, EventType.PURCHASE, 30),
        (CUP, EventType.CLICK, 2),
        (POT, EventType.PRODUCT_VIEW, 1),
        (TEA, EventType.RETURN, 1),
        (-1, EventType.PURCHASE, 1),
        (CUP, EventType.PURCHASE, 20),
    )
    assert past.product.tolist() == [POT, CUP]
    assert past.seen_days.tolist() == [1, 2]
    assert past.bought_days.tolist() == [np.inf, 20]


def test_history_says_when():
    assert told(BUYER, (CUP, "history"), (TEA, "history")) == [
        "You bought it 3 days ago",
        "You bought it 3 weeks ago",
    ]


def test_neighbour_names_the_past_product_that_speaks_most_for_it():
    similarity = np.zeros((3, 3), np.float32)
    similarity[CUP, POT], similarity[TEA, POT] = 0.2, 0.7
    speaks = support(sparse.csr_matrix(similarity), BUYER.product, np.array([POT]))
    np.testing.assert_allclose(speaks, [[0.7], [0.2]][::-1])
    assert told(BUYER, (POT, "neighbours"), speaks=speaks) == ["Goes with Green tea"]
    assert told(NOBODY, (POT, "neighbours"), speaks=speaks[:0]) == ["Fits your taste"]


def test_a_product_does_not_go_with_itself():
    speaks = np.array([[0.9], [0.0]], np.float32)
    assert BUYER.product[0] == CUP
    assert told(BUYER, (CUP, "linear"), speaks=speaks) == ["Fits your taste"]


def test_other_sources_have_words_of_their_own():
    rows = [(CUP, source) for source in ("trending", "category", "new", "popular", "ials")]
    assert told(NOBODY, *rows) == [
        "Popular right now",
        "Popular in kitchen",
        "New in kitchen",
        "Popular in this shop",
        "Fits your taste",
    ]


def test_product_without_a_category_is_of_the_shop():
    assert told(NOBODY, (TEA, "new")) == ["New in the shop"]


@pytest.mark.parametrize(
    ("days", "when"),
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
    ("kind", "verb"), [(EventType.PURCHASE, "bought"), (EventType.PRODUCT_VIEW, "looked at")]
)
def test_how_long_ago_and_what(days, when, kind, verb):
    past = dealings((TEA, kind, days), (TEA, EventType.RETURN, 0.1))
    assert told(past, (TEA, "history")) == [f"You {verb} it {when}"]


@given(
    seed=st.integers(0, 999),
    had=st.lists(st.integers(-1, 5), max_size=5, unique=True),
    wanted=st.lists(st.integers(-1, 5), max_size=4, unique=True),
)
def test_support_of_a_sparse_and_a_dense_similarity_is_the_same(seed, had, wanted):
    rng = np.random.default_rng(seed)
    dense = (rng.random((6, 6)) * (rng.random((6, 6)) < 0.5)).astype(np.float32)
    had, wanted = np.array(had, np.int64), np.array(wanted, np.int64)
    expected = np.zeros((len(had), len(wanted)), np.float32)
    for row, past in enumerate(had):
        for column, product in enumerate(wanted):
            if past >= 0 and product >= 0:
                expected[row, column] = dense[past, product]
    for similarity in (dense, sparse.csr_matrix(dense)):
        np.testing.assert_array_equal(support(similarity, had, wanted), expected)
