import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys_kedro.highest import BLOCK, highest

VALUES = st.integers(0, 4 * BLOCK + 5).flatmap(
    lambda size: arrays(np.float32, size, elements=st.floats(-2, 2, width=16))
)


@given(values=VALUES, count=st.integers(0, 200))
def test_they_are_those_of_a_whole_sort(values, count):
    found = highest(values, count)
    assert len(set(found.tolist())) == len(found) == min(count, len(values))
    np.testing.assert_array_equal(np.sort(values[found])[::-1], np.sort(values)[::-1][: len(found)])


@pytest.mark.parametrize("count", [1, 30, 3_000])
def test_of_many_values(count):
    values = np.random.default_rng(0).permutation(100_003).astype(np.float32)
    assert set(values[highest(values, count)]) == set(range(100_003 - count, 100_003))


def test_minus_infinity_comes_last():
    values = np.full(10 * BLOCK, -np.inf, np.float32)
    values[[3, 70]] = 1, 2
    assert set(highest(values, 2).tolist()) == {3, 70}
    assert {3, 70} < set(highest(values, 5).tolist())
