import numpy as np
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


def test_of_too_many_products_the_most_taken_are_read_and_scored(make_events, make_data, ask):
    rows = [(user, product, 20) for user in ("ann", "ben") for product in ("a", "c")]
    events = make_events(*rows, ("ann", "b", 20), ("ann", "d", 20))
    options = EASEOptions(l2=1, max_products=2, own_weight=0, half_life_days=None)
    model = EASE.fit(make_data(events), options, seed=0)
    small = events.filter(events["product_id"].is_in(["a", "c"]))
    alone = EASE.fit(make_data(small), options, seed=0)
    found = model.score_catalogue(ask(make_events(("dan", "a", 20), ("dan", "b", 20)), "dan"))[0]
    expected = alone.score_catalogue(ask(make_events(("dan", "a", 20)), "dan"))[0]
    assert expected[1] > 0
    np.testing.assert_allclose(found, [expected[0], 0, expected[1], 0])
