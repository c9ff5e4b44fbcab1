import pytest
from pydantic import ValidationError

from recsys_kedro.monitoring.thresholds import Bounds, Threshold


def test_the_narrower_of_two_bounds_counts():
    bounds = Bounds(below=3, fall=0.5, above=9, rise=0.5)
    assert (bounds.lower(10), bounds.upper(10)) == (10 * 0.5, 9)
    assert (bounds.lower(4), bounds.upper(4)) == (3, 4 * 1.5)
    assert (bounds.lower(None), bounds.upper(None)) == (3, 9)


def test_a_side_without_a_bound_is_open():
    assert Bounds(above=1).lower(5) is None
    assert Bounds(fall=0.5).upper(5) is None


@pytest.mark.parametrize("empty", [{}, {"minimum": 1}])
def test_what_judges_nothing_is_refused(empty):
    with pytest.raises(ValidationError, match="give one"):
        (Threshold if empty else Bounds)(**empty)
