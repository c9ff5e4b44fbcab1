import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from recsys_kedro.ranking.exploration import ExplorationOptions, explore, rng_of

KINDS = ("epsilon_greedy", "softmax")


def run(weights, k, share, kind="epsilon_greedy", scores=None, rng=0):
    score_N = np.array(scores if scores is not None else range(len(weights), 0, -1), float)
    options = ExplorationOptions(kind=kind, share=share)
    return explore(score_N, np.array(weights, float), k, options, np.random.default_rng(rng))


def repeat(times, *args, **kwargs):
    """How often each list came, and for each list above a slot the propensity by candidate."""
    lists, propensities = Counter(), defaultdict(dict)
    rng = np.random.default_rng(5)
    for _ in range(times):
        shown = run(*args, rng=rng, **kwargs)
        position = tuple(shown.position.tolist())
        lists[position] += 1
        for slot, propensity in enumerate(shown.propensity.tolist()):
            known = propensities[position[:slot]].setdefault(position[slot], propensity)
            assert propensity == known, "it depends on nothing but what is above"
    return lists, propensities


@pytest.mark.parametrize("kind", KINDS)
def test_propensities_of_a_slot_sum_to_one(kind):
    _, propensities = repeat(3000, [2, 0, 1, 1], 3, 0.5, kind, scores=[3, 4, 1, 2])
    # All beginnings that can come; the second is never drawn, only taken as the best left.
    pairs = {(0, 1), (0, 2), (0, 3), (2, 0), (2, 3), (3, 0), (3, 2)}
    assert set(propensities) == {(), (0,), (2,), (3,)} | pairs
    for above, by_candidate in propensities.items():
        assert sum(by_candidate.values()) == pytest.approx(1, abs=1e-12), above


@pytest.mark.parametrize("kind", KINDS)
def test_lists_come_as_often_as_their_propensities_say(kind):
    times = 4000
    lists, propensities = repeat(times, [1, 3, 2, 4], 2, 0.4, kind)
    expected = {
        (first, second): times * chance * propensities[(first,)][second]
        for first, chance in propensities[()].items()
        for second in propensities[(first,)]
    }
    assert set(expected) == set(lists)
    observed = [lists[shown] for shown in expected]
    assert stats.chisquare(observed, list(expected.values())).pvalue > 0.01


def test_propensities_by_hand():
    _, propensities = repeat(2000, [1, 3, 4], 2, 0.4)
    assert propensities[()] == pytest.approx({0: 0.6 + 0.4 * 1 / 8, 1: 0.4 * 3 / 8, 2: 0.4 * 4 / 8})
    assert propensities[(0,)] == pytest.approx({1: 0.6 + 0.4 * 3 / 7, 2: 0.4 * 4 / 7})
    assert propensities[(2,)] == pytest.approx({0: 0.6 + 0.4 * 1 / 4, 1: 0.4 * 3 / 4})


def test_softmax_prefers_high_scores():
    _, propensities = repeat(2000, [1, 1, 2], 1, 0.4, "softmax", scores=[3, 1, 2])
    z = math.sqrt(1.5)  # scores 1, 2, 3 in standard deviations are -z, 0, z
    total = math.exp(z) + math.exp(-z) + 2
    assert propensities[()] == pytest.approx(
        {0: 0.6 + 0.4 * math.exp(z) / total, 1: 0.4 * math.exp(-z) / total, 2: 0.4 * 2 / total}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_share_0_is_the_list_as_ranked(kind):
    shown = run([1, 2, 3, 4], 3, 0.0, kind)
    assert shown.position.tolist() == [0, 1, 2]
    assert shown.propensity.tolist() == [1, 1, 1]
    assert not shown.explored.any()


@pytest.mark.parametrize("kind", KINDS)
def test_without_weights_nothing_is_explored(kind):
    shown = run([0, 0, 0], 3, 0.5, kind)
    assert shown.position.tolist() == [0, 1, 2]
    assert shown.propensity.tolist() == [1, 1, 1]


def test_without_weights_left_the_best_is_certain():
    lists, propensities = repeat(200, [0, 0, 1], 3, 0.5)
    assert set(lists) == {(0, 1, 2), (0, 2, 1), (2, 0, 1)}
    assert propensities[(2,)] == {0: 1}
    assert propensities[(0, 1)] == {2: 1}
    assert propensities[()] == {0: 0.5, 2: 0.5}


@pytest.mark.parametrize(("k", "places"), [(0, 0), (2, 2), (9, 3)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_length(k, places, share):
    for part in run([1, 1, 1], k, share):
        assert len(part) == places
    assert len(run([], k, share).position) == 0


@given(
    weights=st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=12),
    k=st.integers(0, 14),
    share=st.floats(0, 0.5, allow_subnormal=False),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_no_candidate_twice_and_every_one_was_possible(weights, k, share, kind, seed):
    shown = run(weights, k, share, kind, rng=seed)
    position = shown.position.tolist()
    assert shown.position.dtype == np.int64
    assert len(set(position)) == len(position) == min(k, len(weights))
    assert ((shown.propensity > 0) & (shown.propensity <= 1)).all()
    everyone = set(range(len(weights)))
    best_left = [min(everyone - set(position[:slot])) for slot in range(len(position))]
    assert shown.explored.tolist() == [a != b for a, b in zip(position, best_left, strict=True)]
    assert all(weights[row] > 0 for row in shown.position[shown.explored])
    head = run(weights, k // 2, share, kind, rng=seed)
    assert head.position.tolist() == position[: len(head.position)]


def test_the_weights_stay_as_they_were():
    weight_N = np.array([1.0, 2.0, 3.0])
    options = ExplorationOptions(kind="softmax", share=0.5)
    explore(np.arange(3.0), weight_N, 3, options, np.random.default_rng(1))
    assert weight_N.tolist() == [1, 2, 3]


def test_random_numbers_belong_to_the_answer():
    assert rng_of("a").random(3).tolist() == rng_of("a").random(3).tolist()
    assert rng_of("a").random() != rng_of("b").random()
    # The same on every machine and in every process: none of Python's salted hashes.
    assert rng_of("9f2c").bit_generator.random_raw() == 8_927_927_219_767_409_054


@pytest.mark.parametrize("wrong", [{"share": 0.6}, {"share": -0.1}, {"kind": "greedy"}])
def test_options_have_bounds(wrong):
    with pytest.raises(ValidationError):
        ExplorationOptions(**wrong)
