import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from recsys_kedro.serving.circuit_breaker import CircuitBreaker


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(failures=2, retry_after_s=5.0, clock=clock)


def test_opens_after_failures_in_a_row(breaker):
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()


def test_failures_that_are_not_in_a_row_do_not_open(breaker):
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open


def test_one_trial_per_pause(breaker, clock):
    breaker.failed()
    breaker.failed()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_trial_that_succeeds_closes(breaker, clock):
    breaker.failed()
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True] * 3
    breaker.failed()
    assert breaker.allows()


def test_trial_that_fails_brings_another_pause(breaker, clock):
    breaker.failed()
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    clock.now += 3
    breaker.failed()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()


def test_trial_that_never_reports_does_not_jam_it(breaker, clock):
    breaker.failed()
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()


def test_of_many_threads_one_makes_the_trial(clock):
    def slow_clock():  # lets the other threads in between the question and the decision
        time.sleep(0.001)
        return clock()

    breaker, together = CircuitBreaker(1, 5.0, slow_clock), Barrier(16)

    def ask(_):
        together.wait()
        return breaker.allows()

    breaker.failed()
    clock.now += 5
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 1
