"""Several processes on one fit: the same weights in all, each with its share of the work."""

from functools import partial

import numpy as np
import pytest
import torch
from servers.shared_fits import ROWS, average, fail, make_task

from recsys_kedro.fitting import training_data
from recsys_kedro.models.base import Validation
from recsys_kedro.models.distributed import Peers, run_in_processes
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.models.training import SCORE, TrainingOptions, train, train_in_processes
from recsys_kedro.queries import build_queries
from recsys_kedro.splits import window_requests, window_truth

CPU = torch.device("cpu")


def test_gradients_are_averaged_row_by_row_and_arrays_are_mapped():
    array, empty = np.arange(5), np.empty((0, 3))
    gradients, arrays = run_in_processes(partial(average, array, empty), 2, CPU)
    rows, weight, bias = gradients
    assert rows.indices().tolist() == [[1, 2, 3]]
    assert rows.values()[:, 0].tolist() == [1 / 2, (2 + 1) / 2, 2 / 2]
    assert torch.equal(weight, torch.full((1, 4), (0 + 1) / 2))
    assert torch.equal(bias, torch.zeros(1))
    assert arrays == ([0, 1, 2, 3, 4], False, (0, 3))


def test_two_processes_learn_what_one_learns(tmp_path):
    """Equal shares of a mean: the same gradient, up to rounding, so the same weights."""
    options = TrainingOptions(epochs=3, learning_rate=0.05, id_learning_rate=0.05)
    alone = make_task(tmp_path, Peers(CPU))
    expected = train(alone, options, 3)
    shared = options.model_copy(update={"processes": 2})
    weights, progress = train_in_processes(partial(make_task, tmp_path), shared, 3)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5)
    for one, other in zip(expected.epochs, progress.epochs, strict=True):
        assert other["loss_square"] == pytest.approx(one["loss_square"], rel=1e-5)
        assert other[SCORE] == one[SCORE]
    assert progress.best_epoch == 1
    for epoch in range(3):
        seen = [(tmp_path / f"{rank}_{epoch}.txt").read_text().split() for rank in (0, 1)]
        assert [len(share) for share in seen] == [ROWS / 2, ROWS / 2]
        assert sorted(map(int, seen[0] + seen[1])) == list(range(ROWS))


def test_killed_process_ends_the_fit_with_its_name(tmp_path):
    options = TrainingOptions(epochs=3, processes=2)
    with pytest.raises(RuntimeError, match="process 1 was ended by SIGKILL"):
        train_in_processes(partial(make_task, tmp_path, killed=1), options, 3)


def test_failed_process_ends_the_others_and_is_quoted():
    message = r"(?s)training\.processes: process 1 .*a fault of rank 1"
    with pytest.raises(RuntimeError, match=message):
        run_in_processes(fail, 2, CPU)


@pytest.fixture(scope="module")
def data(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    cut = shop_split.validation_start
    truth = window_truth(shop_events, cut, shop_split.test_start, shop_split)
    queries = build_queries(shop_events, window_requests(truth, cut))
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    return training_data(*tables, shop_split, cut, Validation(queries, truth))


def test_hybrid_is_as_good_in_two_processes_and_in_bfloat16(data):
    ways = {"one": {}, "two": {"processes": 2}, "bfloat16": {"mixed_precision": True}}
    last = {}
    for way, changes in ways.items():
        training = {"epochs": 2, "batch_size": 64, "device": "cpu", **changes}
        options = HybridOptions.model_validate({"training": training})
        last[way] = Hybrid.fit(data, options, 5).epochs[-1]
    for way in ("two", "bfloat16"):
        assert last[way]["loss_all"] == pytest.approx(last["one"]["loss_all"], rel=0.05)
        assert last[way][SCORE] == pytest.approx(last["one"][SCORE], rel=0.15)
        assert last[way]["loss_all"] != last["one"]["loss_all"]
