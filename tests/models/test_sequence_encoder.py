from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.models.interactions import newest_steps
from recsys_kedro.models.sequence_encoder import SequenceEncoder, SequenceOptions
from recsys_kedro.models.sequence_training import fit_sequence_encoder
from recsys_kedro.schemas import UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

PRODUCTS = Vocabulary.fit("abcdef")
OPTIONS = SequenceOptions(
    width=8, heads=2, longest=5, negatives=6, batch_size=40, epochs=20, learning_rate=0.02,
    dropout=0, event_dropout=0, temperature=0.2,
)  # fmt: skip
BOUGHT = {c.PURCHASE: 1.0}


def table(**labels):
    empty = dict.fromkeys((c.CATEGORY, c.SUBCATEGORY, c.BRAND, c.NAME), [None] * 6)
    schema = dict.fromkeys((c.PRODUCT_ID, *empty), pl.String) | {c.CREATED_AT: UTC_TIME}
    rows = {c.PRODUCT_ID: list("abcdef"), c.CREATED_AT: [None] * 6} | empty | labels
    return pl.DataFrame(rows, schema=schema)


@pytest.fixture
def chain(make_events):
    """Forty users take a run of the circle a, b, c, d, e (and none takes f)."""
    rows = [
        (f"u{user}", "abcde"[(user + step) % 5], 90 - step)
        for user in range(40)
        for step in range(4)
    ]
    return make_events(*rows)


@pytest.fixture
def as_of(make_events, make_data):
    return make_data(make_events(("ann", "a", 1))).cut


@pytest.fixture
def encoder(chain, as_of):
    return fit_sequence_encoder(chain, table(), PRODUCTS, as_of, OPTIONS, seed=0)


@pytest.fixture
def lifts(ask, make_events):
    def lifts(encoder, *taken, user="dan"):
        """What follows products that were taken on successive days, oldest first."""
        events = make_events(*(("dan", id_, len(taken) - at) for at, id_ in enumerate(taken)))
        past = newest_steps(ask(events, user), PRODUCTS, BOUGHT, OPTIONS.longest)
        return encoder.lifts(past, 1)[0]

    return lifts


def test_the_newest_product_says_what_is_next(encoder, lifts):
    for place, product in enumerate("abcde"):
        assert lifts(encoder, product).argmax() == (place + 1) % 5
        assert lifts(encoder, "abcde"[place - 1], product).argmax() == (place + 1) % 5


def test_lifts_are_one_on_the_average(encoder, lifts):
    assert lifts(encoder, "a", "b").mean() == pytest.approx(1, rel=1e-5)
    assert (lifts(encoder, "a", "b") > 0).all()


def test_a_user_without_a_past_has_a_list_too(encoder, lifts):
    found = lifts(encoder, "a", user="nobody")
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(1, rel=1e-5)


def test_the_same_data_gives_the_same_encoder_in_several_threads_at_once(chain, as_of, lifts):
    def fit(_):
        return fit_sequence_encoder(chain, table(), PRODUCTS, as_of, OPTIONS, seed=0)

    with ThreadPoolExecutor(3) as pool:
        one, *others = pool.map(fit, range(3))
    for other in others:
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(other.arrays()[name], array)


def test_attributes_speak_for_what_nobody_took(chain, as_of, lifts):
    plain = fit_sequence_encoder(chain, table(), PRODUCTS, as_of, OPTIONS, seed=0)
    described = table(brand=["one", "two", "three", "four", "five", "two"])  # f is a b
    told = fit_sequence_encoder(chain, described, PRODUCTS, as_of, OPTIONS, seed=0)
    assert lifts(told, "a")[5] > 2 * lifts(plain, "a")[5]
    assert lifts(told, "a")[5] > lifts(told, "c")[5]


def test_what_is_created_later_has_no_attributes_yet(chain, as_of):
    brands = {"brand": ["one", "two", "three", "four", "five", "two"]}
    known = fit_sequence_encoder(chain, table(**brands), PRODUCTS, as_of, OPTIONS, seed=0)
    later = table(**brands, created_at=[None] * 5 + [as_of])
    unknown = fit_sequence_encoder(chain, later, PRODUCTS, as_of, OPTIONS, seed=0)
    assert known.vector_PD[5].abs().max() > 0
    assert unknown.vector_PD[5].abs().max() == 0


def test_arrays_are_all_of_it(encoder, lifts):
    again = SequenceEncoder.of_arrays(encoder.arrays(), OPTIONS)
    np.testing.assert_array_equal(lifts(again, "a", "b"), lifts(encoder, "a", "b"))


@pytest.mark.parametrize("rows", [[("ann", "a", 3)], [("ann", "elsewhere", 3)]])
def test_nothing_to_learn_from(make_events, as_of, lifts, rows):
    encoder = fit_sequence_encoder(make_events(*rows), table(), PRODUCTS, as_of, OPTIONS, seed=0)
    assert np.isfinite(lifts(encoder, "a")).all()


def test_a_basket_is_no_past_of_itself(make_events, as_of):
    """Whoever has one basket only teaches nothing: the weights stay as they began."""
    basket = make_events(("ann", "a", 3), ("ann", "b", 3))
    once, longer = (
        fit_sequence_encoder(
            basket, table(), PRODUCTS, as_of, OPTIONS.model_copy(update={"epochs": epochs}), seed=0
        )
        for epochs in (1, 9)
    )
    np.testing.assert_array_equal(once.arrays()["vectors"], longer.arrays()["vectors"])
