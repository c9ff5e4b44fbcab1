import pytest
from pydantic import ValidationError

from recsys_kedro.pipelines.evaluation.options import EvaluationOptions


def test_list_lengths_are_sorted_and_each_once():
    assert EvaluationOptions(ks=(20, 10, 1, 10)).ks == (1, 10, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ks": (1, 5)}, "lacks 10"),
        ({"ks": (10, 51)}, "less than or equal to 50"),
        ({"resample": 100}, "Extra inputs are not permitted"),
        ({"confidence": 1.0}, "less than 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        EvaluationOptions(**options)
