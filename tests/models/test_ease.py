import numpy as np
import pytest
from scipy import sparse

from recsys_kedro.models.ease import EASE, EASEOptions, ease_weights


def test_weights_by_hand():
    taken = sparse.csr_matrix(np.array([[1, 1], [1, 0]], np.float32))
    # X'X + I = [[3, 1], [1, 2]], its inverse K = [[2, -1], [-1, 3]] / 5, B = -K_ij / K_jj.
    np.testing.assert_allclose(ease_weights(taken, 1), [[0, 1 / 3], [1 / 2, 0]], rtol=1e-5)


def test_weights_are_the_best_linear_guess_from_the_other_products():
    rng = np.random.default_rng(0)
    taken = (rng.random((30, 4)) < 0.4).astype(np.float64)
    weights = ease_weights(sparse.csr_matrix(taken, dtype=np.float32), 5)
    others = taken[:, 1:]
    ridge = np.linalg.solve(others.T @ others + 5 * np.eye(3), others.T @ taken[:, 0])
    np.testing.assert_allclose(weights[1:, 0], ridge, rtol=1e-4)


def test_weights_lie_row_by_row(events, make_data):
    # A query multiplies some rows; columns first would copy the whole matrix for each query.
    model = EASE.fit(make_data(events), EASEOptions(), seed=0)
    assert model.weights.flags.c_contiguous


def test_scores_are_the_history_times_the_weights(events, make_events, make_data, ask):
    options = EASEOptions(l2=1, half_life_days=10, own_weight=0)
    model = EASE.fit(make_data(events), options, seed=0)
    asked = ask(make_events(("dan", "a", 20)), "dan")
    np.testing.assert_allclose(model.score_catalogue(asked)[0], 0.5**2 * model.weights[0])


def test_too_many_products_are_refused_before_any_work(events, make_data):
    with pytest.raises(ValueError, match=r"4 products .* max_products \(3\).*leave ease out"):
        EASE.fit(make_data(events), EASEOptions(max_products=3), seed=0)
