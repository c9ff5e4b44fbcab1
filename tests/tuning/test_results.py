import pytest
from tuning.test_tracking import make_trial

from recsys_kedro.metrics.evaluation import Figure
from recsys_kedro.tuning.results import Ending, TuningResult, count_endings


def result(best, low):
    return TuningResult(
        shop="tiny",
        study="tiny-ease-0",
        model="ease",
        users=3,
        trials=[make_trial(number=0, preset=0, score=0.2), make_trial(number=2, score=0.25)],
        default=0,
        best=best,
        gain=Figure(value=0.05, low=low, high=0.07),
        confidence=0.95,
        importance={},
    )


@pytest.mark.parametrize(
    ("best", "low", "gains", "verdict"),
    [
        (2, 0.01, True, "gains +0.0500 (95% interval +0.0100 to +0.0700) over the default on"),
        (2, -0.01, False, "The interval contains zero: it may be chance, keep the default."),
        (2, 0.0, False, "The interval contains zero"),
        (0, 0.0, False, "No trial is better than the default settings: keep them."),
    ],
)
def test_the_verdict_says_whether_the_interval_contains_zero(best, low, gains, verdict):
    assert result(best, low).gains == gains
    assert verdict in result(best, low).verdict
    assert ("contains zero" in result(best, low).verdict) == (best == 2 and not gains)


def test_a_trial_is_found_by_its_number():
    assert result(2, 0.0).trial(2).score == 0.25


def test_endings_are_counted():
    trials = [make_trial(), make_trial(), make_trial(ending=Ending.PRUNED, score=None)]
    assert count_endings(trials) == {"complete": 2, "pruned": 1}
