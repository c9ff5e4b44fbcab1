import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.simulation.response_noise import Noise, Stream

SESSIONS, DETAILS = np.arange(200)[:, None], np.arange(300)


def test_numbers_are_uniform():
    drawn = Noise(3).uniform(Stream.LIKING, SESSIONS, DETAILS)
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    expected = drawn.size / 20
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_neighbours_and_streams_and_seeds_are_independent():
    liking = Noise(3).uniform(Stream.LIKING, SESSIONS, DETAILS)
    others = {
        "next session": (liking[1:], liking[:-1]),
        "next product": (liking[:, 1:], liking[:, :-1]),
        "stream": (liking, Noise(3).uniform(Stream.OUTSIDE, SESSIONS, DETAILS)),
        "seed": (liking, Noise(4).uniform(Stream.LIKING, SESSIONS, DETAILS)),
        "exchanged": (liking[:, :200], liking[:, :200].T),
    }
    for name, (one, other) in others.items():
        away = ~np.eye(*one.shape, dtype=bool)  # exchanged: the diagonal is itself
        correlation = np.corrcoef(one[away], other[away])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(one.size), name


@given(seed=st.integers(0, 2**32), sessions=st.lists(st.integers(0, 2**40), min_size=1))
def test_a_number_depends_on_its_key_alone(seed, sessions):
    at_once = Noise(seed).uniform(Stream.DEPTH, np.array(sessions), 7)
    one_by_one = [Noise(seed).uniform(Stream.DEPTH, np.array([each]), 7)[0] for each in sessions]
    np.testing.assert_array_equal(at_once, one_by_one)
    assert ((at_once > 0) & (at_once < 1)).all()


def test_gumbel_has_its_mean_and_variance():
    drawn = Noise(3).gumbel(Stream.LIKING, SESSIONS, DETAILS)
    assert drawn.mean() == pytest.approx(np.euler_gamma, abs=0.03)
    assert drawn.var() == pytest.approx(np.pi**2 / 6, abs=0.05)
