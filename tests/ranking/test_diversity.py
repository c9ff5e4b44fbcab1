import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_kedro.ranking.diversity import (
    POOL,
    deviation,
    diversify,
    dpp_greedy,
    mmr,
    standardised,
)

RERANKERS = (diversify, mmr)
STRENGTHS = (0.0, 1e-12, 0.3, 0.5, 1.0)


def unit(*rows):
    vectors_ND = np.array(rows, float)
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


def random_case(seed, count, size=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=count), unit(*rng.normal(size=(count, size)))


def greedy_by_determinants(log_quality_N, vectors_ND, k):
    """Each pick by the log-determinant of the whole set, as the definition has it."""
    quality_N = np.exp(log_quality_N)
    kernel_NN = np.outer(quality_N, quality_N) * (1 + vectors_ND @ vectors_ND.T) / 2
    picked = []
    while len(picked) < k:
        value = {
            row: np.linalg.slogdet(kernel_NN[np.ix_([*picked, row], [*picked, row])])[1]
            for row in range(len(log_quality_N))
            if row not in picked
        }
        picked.append(max(value, key=value.__getitem__))
    return picked


def mmr_by_loops(z_N, vectors_ND, k, strength):
    picked = []
    while len(picked) < k:
        value = {
            row: (1 - strength) * z_N[row]
            - strength * max((vectors_ND[row] @ vectors_ND[j] for j in picked), default=0)
            for row in range(len(z_N))
            if row not in picked
        }
        picked.append(max(value, key=value.__getitem__))
    return picked


def distance_within(vectors_KD):
    """Mean of (1 - cos) / 2 over the pairs of a list."""
    pairs = np.triu_indices(len(vectors_KD), 1)
    return ((1 - vectors_KD @ vectors_KD.T) / 2)[pairs].mean()


@given(seed=st.integers(0, 2**32), count=st.integers(1, 8), size=st.integers(2, 5))
def test_dpp_is_the_greedy_choice_by_determinants(seed, count, size):
    log_quality_N, vectors_ND = random_case(seed, count, size)
    k = min(count, size + 1)  # the rank: beyond it every determinant is 0
    picked = dpp_greedy(log_quality_N, vectors_ND, k)
    assert picked.tolist() == greedy_by_determinants(log_quality_N, vectors_ND, k)


def test_dpp_on_three_products():
    vectors_ND = unit([1, 0], [1, 0.1], [0, 1])
    # With equal quality the orthogonal one wins: det = 1 - (1 / 2)^2 against nearly 0.
    assert dpp_greedy(np.array([0.1, 0, 0]), vectors_ND, 2).tolist() == [0, 2]
    # The near duplicate needs q^2 (1 - ((1 + cos) / 2)^2) > 1 - (1 / 2)^2.
    near = 1 - ((1 + 1 / math.sqrt(1.01)) / 2) ** 2
    enough = math.log(0.75 / near) / 2
    for log_quality, second in ((enough - 0.01, 2), (enough + 0.01, 1)):
        quality = np.array([enough + 1, log_quality, 0])
        assert dpp_greedy(quality, vectors_ND, 2).tolist() == [0, second]


def test_opposite_is_farther_than_orthogonal():
    vectors_ND = unit([1, 0], [0, 1], [-1, 0])
    assert dpp_greedy(np.array([0.1, 0, 0]), vectors_ND, 3).tolist() == [0, 2, 1]


def test_what_lies_in_the_span_follows_by_quality():
    vectors_ND = unit([1, 0], [1, 0], [1, 0], [0, 1], [0, 1])
    log_quality_N = np.array([0.0, 2.0, 3.0, 0.0, 1.0])
    assert dpp_greedy(log_quality_N, vectors_ND, 5).tolist() == [2, 4, 1, 0, 3]


def test_no_quality_at_all_comes_last():
    assert dpp_greedy(np.array([-np.inf, 0.0, -np.inf]), np.eye(3), 3).tolist() == [1, 0, 2]


def test_quality_beyond_what_exp_can_hold():
    picked = dpp_greedy(np.array([-9e5, 9e5, 0.0]), np.eye(3), 3)
    assert picked.tolist() == [1, 2, 0]


@pytest.mark.parametrize("rerank", RERANKERS)
@given(data=st.data())
def test_every_place_is_taken_and_no_candidate_twice(rerank, data):
    count = data.draw(st.integers(0, 12))
    k = data.draw(st.integers(0, 15))
    strength = data.draw(st.floats(0, 1))
    score_N = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)))
    angle_N = data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    turn_N = np.array(angle_N) * math.pi / 2  # few directions: many equal and opposite vectors
    vectors_ND = np.stack([np.cos(turn_N), np.sin(turn_N)], axis=1)
    picked = rerank(score_N.astype(np.float32), vectors_ND.astype(np.float32), k, strength)
    assert picked.dtype == np.int64
    assert len(picked) == len(set(picked.tolist())) == min(k, count)
    assert set(picked.tolist()) <= set(range(count))


@pytest.mark.parametrize("rerank", RERANKERS)
@given(scores=st.lists(st.integers(-3, 3), max_size=10), k=st.integers(0, 12))
def test_strength_0_is_the_sort(rerank, scores, k):
    score_N = np.array(scores, float)
    vectors_ND = np.eye(2)[np.arange(len(scores)) % 2]
    stable = sorted(range(len(scores)), key=lambda row: -scores[row])
    assert rerank(score_N, vectors_ND, k, 0.0).tolist() == stable[:k]


@pytest.mark.parametrize("rerank", RERANKERS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_identical_vectors_leave_the_order_of_scores(rerank, strength):
    score_N = np.array([0.0, 3.0, 1.0, 2.0])
    assert rerank(score_N, unit(*[[1, 2]] * 4), 4, strength).tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize("rerank", RERANKERS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_best_score_opens_the_list(rerank, strength):
    score_N, vectors_ND = random_case(3, 30)
    picked = rerank(score_N.astype(np.float32), vectors_ND.astype(np.float32), 5, strength)
    assert picked[0] == score_N.argmax()


@pytest.mark.parametrize("rerank", RERANKERS)
def test_one_candidate(rerank):
    assert rerank(np.array([7.0]), unit([1, 1]), 3, 0.5).tolist() == [0]


@pytest.mark.parametrize("rerank", RERANKERS)
def test_two_clusters(rerank):
    score_N = np.array([9.0, 8.0, 7.0, 3.0, 2.0, 1.0])
    vectors_ND = unit([1, 0.1], [1, 0], [1, -0.1], [0.1, 1], [0, 1], [-0.1, 1])
    assert rerank(score_N, vectors_ND, 2, 0.0).tolist() == [0, 1]
    assert rerank(score_N, vectors_ND, 2, 0.8)[1] >= 3


@pytest.mark.parametrize("rerank", RERANKERS)
def test_distance_within_the_list_rises_with_strength(rerank):
    strengths = np.linspace(0, 1, 6)
    cases = [random_case(seed, 60) for seed in range(100)]
    means = [
        np.mean([distance_within(v[rerank(score, v, 10, strength)]) for score, v in cases])
        for strength in strengths
    ]
    assert (np.diff(means) >= 0).all()
    assert means[-1] > means[0] + 0.02


@pytest.mark.parametrize("rerank", RERANKERS)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_scale_of_scores_does_not_matter(rerank, seed, scale):
    score_N, vectors_ND = random_case(seed, 12)
    moved = rerank(5 + score_N * scale, vectors_ND, 6, 0.4)
    assert moved.tolist() == rerank(score_N, vectors_ND, 6, 0.4).tolist()


@given(seed=st.integers(0, 2**32), strength=st.floats(0.1, 0.9))
def test_diversify_weighs_score_and_determinant_as_the_paper_does(seed, strength):
    score_N, vectors_ND = random_case(seed, 9)
    z_N = (score_N - score_N.mean()) / score_N.std()
    alpha = (1 - strength) / (2 * strength)
    expected = greedy_by_determinants(alpha * z_N, vectors_ND, 5)
    assert diversify(score_N, vectors_ND, 5, strength).tolist() == expected


@given(seed=st.integers(0, 2**32), strength=st.floats(0, 0.99))
def test_mmr_is_its_definition(seed, strength):
    score_N, vectors_ND = random_case(seed, 9)
    z_N = (score_N - score_N.mean()) / score_N.std()
    expected = mmr_by_loops(z_N, vectors_ND, 5, strength)
    assert mmr(score_N, vectors_ND, 5, strength).tolist() == expected


@pytest.mark.parametrize("rerank", RERANKERS)
@pytest.mark.parametrize("k", [1, POOL])
def test_only_the_pool_is_considered(rerank, k):
    score_N = np.arange(3 * POOL, 0, -1.0)
    vectors_ND = np.zeros((3 * POOL, 2))
    vectors_ND[:, 0] = 1
    vectors_ND[max(POOL, 2 * k) - 1 :] = [0, 1]
    picked = rerank(score_N, vectors_ND, max(k, 2), 1.0)
    assert picked[:2].tolist() == [0, max(POOL, 2 * k) - 1], "the last of the pool"
    vectors_ND[max(POOL, 2 * k) - 1] = [1, 0]
    assert rerank(score_N, vectors_ND, max(k, 2), 1.0).max() < max(POOL, 2 * k)


def test_standardised():
    assert standardised(np.array([1.0, 3.0])).tolist() == [-1, 1]
    assert np.ptp(standardised(np.array([0.1, 0.1, 0.1]))) == 0
    assert standardised(np.array([])).tolist() == []
    assert deviation(np.array([0.0, 4.0])) == 2
    assert deviation(np.array([0.1, 0.1, 0.1])) == deviation(np.array([])) == 0
