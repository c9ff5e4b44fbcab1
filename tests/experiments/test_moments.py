import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys_kedro.experiments.moments import PAIRS, moments_of_sums, moments_of_units


def test_of_units():
    moments = moments_of_units(np.array([1.0, 3.0]), np.array([10.0, 20.0]))
    assert moments.count == 2
    assert moments.mean.tolist() == [4 / 2, 30 / 2, 0, 1]
    assert moments.covariance[0, 1] == (1 - 2) * (10 - 15) + (3 - 2) * (20 - 15)


@given(arrays(float, (4, 5), elements=st.floats(-100, 100)))
def test_sums_give_what_numpy_gives(parts):
    products = np.array([(parts[i] * parts[j]).sum() for i, j in PAIRS])
    moments = moments_of_sums(np.array(5.0), parts.sum(axis=1), products)
    assert moments.mean == pytest.approx(parts.mean(axis=1))
    assert moments.covariance == pytest.approx(np.cov(parts), abs=1e-8)


def test_many_at_once_are_the_single_ones():
    values = np.random.default_rng(0).normal(size=(3, 2, 20))
    together = moments_of_units(values, values**2, values + 1, values - 1)
    for index in np.ndindex(3, 2):
        v = values[index]
        alone = moments_of_units(v, v**2, v + 1, v - 1)
        assert together.count[index] == alone.count
        assert together.mean[index] == pytest.approx(alone.mean)
        assert together.covariance[index] == pytest.approx(alone.covariance)


def test_one_unit_has_a_mean_and_no_covariance():
    moments = moments_of_units(np.array([3.0]))
    assert moments.mean[0] == 3
    assert np.isnan(moments.covariance).all()
