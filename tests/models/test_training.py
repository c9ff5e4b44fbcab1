import math
from dataclasses import replace
from pickle import UnpicklingError

import pytest
import torch
from torch import nn

from recsys_kedro.models import training
from recsys_kedro.models.training import (
    SCORE,
    Task,
    TrainingOptions,
    _clip,
    _optimizers,
    _schedule,
    choose_device,
    train,
)

STEPS = 4


class KilledError(Exception):
    """Stands for a process that ends in the middle."""


class Net(nn.Module):
    """Id embeddings with sparse gradients, and a dense layer with dropout."""

    def __init__(self):
        super().__init__()
        self.ids = nn.Embedding(10, 4, sparse=True)
        self.drop = nn.Dropout(0.3)
        self.dense = nn.Linear(4, 1)

    def forward(self, index):
        return self.dense(self.drop(self.ids(index))).squeeze(1)


def make_task(scores=None, killed_at=None, fingerprint="data"):
    torch.manual_seed(1)
    network = Net()
    seen = iter(scores or [])

    def batches(epoch):
        if epoch == killed_at:
            raise KilledError
        generator = torch.Generator().manual_seed(epoch)
        return [torch.randint(5, (8,), generator=generator) for _ in range(STEPS)]

    def losses(index):
        return make_losses(network, index)

    validate = (lambda: {SCORE: next(seen)}) if scores else None
    return Task(network, batches, STEPS, losses, validate, fingerprint)


def weights(task):
    return {name: value.clone() for name, value in task.network.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_loss_falls_and_every_epoch_is_told():
    progress = train(
        make_task(), TrainingOptions(epochs=8, learning_rate=0.05, id_learning_rate=0.05), 3
    )
    told = [epoch["loss_square"] for epoch in progress.epochs]
    assert len(told) == 8
    assert told[-1] < told[0]


def test_same_seed_same_weights():
    one, other = make_task(), make_task()
    for task in (one, other):
        train(task, TrainingOptions(epochs=2), 3)
    assert_same(weights(one), weights(other))


def test_best_weights_by_validation_are_kept():
    long = make_task(scores=[0.2, 0.9, 0.3, 0.4, 0.5])
    progress = train(long, TrainingOptions(epochs=5, patience=2), 3)
    assert progress.best_epoch == 2
    assert len(progress.epochs) == 4  # two epochs without a better one
    short = make_task()
    train(short, TrainingOptions(epochs=5, stop_after=2), 3)
    assert_same(weights(long), weights(short))


def test_killed_fit_goes_on_and_ends_the_same(tmp_path):
    options = TrainingOptions(epochs=4, checkpoint_folder=tmp_path)
    with pytest.raises(KilledError):
        train(make_task(killed_at=2), options, 3)
    assert list(tmp_path.rglob("state.pt"))
    resumed, whole = make_task(), make_task()
    progress = train(resumed, options, 3)
    train(whole, TrainingOptions(epochs=4), 3)
    assert [epoch["epoch"] for epoch in progress.epochs] == [1, 2, 3, 4]
    assert_same(weights(resumed), weights(whole))
    assert not list(tmp_path.iterdir())  # a finished fit leaves nothing behind


@pytest.mark.parametrize("other", [{"fingerprint": "other data"}, {"seed": 4}, {"epochs": 5}])
def test_checkpoint_of_another_fit_is_not_taken_up(tmp_path, other):
    with pytest.raises(KilledError):
        train(make_task(killed_at=2), TrainingOptions(epochs=4, checkpoint_folder=tmp_path), 3)
    task = make_task(fingerprint=other.get("fingerprint", "data"))
    options = TrainingOptions(epochs=other.get("epochs", 4), checkpoint_folder=tmp_path)
    progress = train(task, options, other.get("seed", 3))
    assert len(progress.epochs) == options.epochs
    fresh = make_task()
    train(fresh, TrainingOptions(epochs=options.epochs), other.get("seed", 3))
    assert_same(weights(task), weights(fresh))


def test_only_touched_rows_of_the_ids_change():
    task = make_task()
    before = task.network.ids.weight.detach().clone()
    train(task, TrainingOptions(epochs=1, id_learning_rate=0.1), 3)
    changed = (task.network.ids.weight != before).any(dim=1)
    assert not changed[5:].any()  # ids 5 to 9 are in no batch
    assert changed[:5].any()


def test_bfloat16_runs_on_the_cpu_and_is_near():
    plain, mixed = make_task(), make_task()
    options = TrainingOptions(epochs=2)
    exact = train(plain, options, 3).epochs[-1]["loss_square"]
    rounded = train(mixed, options.model_copy(update={"mixed_precision": True}), 3)
    assert rounded.epochs[-1]["loss_square"] == pytest.approx(exact, rel=0.05)
    assert rounded.epochs[-1]["loss_square"] != exact


def test_clipping_scales_sparse_and_dense_gradients_to_one_norm():
    network = Net()
    (network(torch.tensor([1, 1, 2])).sum() * 1_000).backward()
    _clip(network, 1.0)
    squares = sum(
        (p.grad.coalesce().values() if p.grad.is_sparse else p.grad).square().sum()
        for p in network.parameters()
    )
    assert float(squares) == pytest.approx(1.0, rel=1e-3)


def test_schedule_rises_then_falls_to_zero():
    options = TrainingOptions(epochs=10, warm_up=0.2, learning_rate=1.0)
    optimizer = _optimizers(Net(), options)[0]
    schedule = _schedule(optimizer, steps=10, options=options)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[19] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5, abs=0.01)
    assert rates[99] == pytest.approx(0.0, abs=1e-3)


def test_device_is_found_or_named():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cuda", "mps", "cpu"}
    assert choose_device("meta") == torch.device("meta")


def test_without_an_accelerator_the_cpu_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")


def test_fit_that_is_killed_in_an_epoch_starts_that_epoch_again(tmp_path):
    options = TrainingOptions(epochs=3, checkpoint_folder=tmp_path)
    killed = make_task()
    left = iter([None] * (STEPS + 2))  # one epoch, and two steps of the next

    def losses(index):
        if next(left, KilledError) is KilledError:
            raise KilledError
        return make_losses(killed.network, index)

    with pytest.raises(KilledError):
        train(replace(killed, losses=losses), options, 3)
    resumed, whole = make_task(), make_task()
    train(resumed, options, 3)
    train(whole, TrainingOptions(epochs=3), 3)
    assert_same(weights(resumed), weights(whole))


def make_losses(network, index):
    return {"square": ((network(index) - index.float()) ** 2).mean()}


def test_resumed_fit_remembers_the_best_epoch_before_the_kill(tmp_path):
    options = TrainingOptions(epochs=5, patience=3, checkpoint_folder=tmp_path)
    with pytest.raises(KilledError):
        train(make_task(scores=[0.9, 0.1], killed_at=2), options, 3)
    resumed = make_task(scores=[0.2, 0.3, 0.4])
    progress = train(resumed, options, 3)
    assert progress.best_epoch == 1
    assert len(progress.epochs) == 1 + 3
    whole = make_task()
    train(whole, TrainingOptions(epochs=5, patience=3, stop_after=1), 3)
    assert_same(weights(resumed), weights(whole))


@pytest.mark.parametrize("what", ["save_file", "save"])
def test_kill_while_writing_leaves_the_checkpoint_before(tmp_path, monkeypatch, what):
    options = TrainingOptions(epochs=3, checkpoint_folder=tmp_path)
    home = training if what == "save_file" else torch
    write, written = getattr(home, what), []

    def half(content, path, **kwargs):
        write(content, path, **kwargs)
        written.append(path)
        if len(written) == 2:
            path.write_bytes(path.read_bytes()[:100])
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(home, what, half)
        with pytest.raises(KilledError):
            train(make_task(), options, 3)
    resumed, whole = make_task(), make_task()
    assert [epoch["epoch"] for epoch in train(resumed, options, 3).epochs] == [1, 2, 3]
    train(whole, TrainingOptions(epochs=3), 3)
    assert_same(weights(resumed), weights(whole))


def test_checkpoint_is_read_as_weights_only(tmp_path, monkeypatch):
    """A pickle that runs code is refused: it does not run."""
    options = TrainingOptions(epochs=3, checkpoint_folder=tmp_path)
    with pytest.raises(KilledError):
        train(make_task(killed_at=1), options, 3)
    ran = []
    monkeypatch.setattr(training, "_ran", ran.append, raising=False)
    (state,) = tmp_path.rglob("state.pt")
    torch.save({"network": Payload()}, state)
    with pytest.raises(UnpicklingError):
        train(make_task(), options, 3)
    assert ran == []


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("from recsys_kedro.models import training; training._ran(1)",)


def test_stop_after_ends_early_and_never_late():
    short = train(make_task(), TrainingOptions(epochs=4, stop_after=2), 3)
    whole = train(make_task(), TrainingOptions(epochs=2, stop_after=9), 3)
    assert len(short.epochs) == len(whole.epochs) == 2
    assert short.best_epoch == 2


def test_of_equal_scores_the_first_epoch_is_kept():
    progress = train(make_task(scores=[0.5] * 3), TrainingOptions(epochs=3), 3)
    assert progress.best_epoch == 1


def test_small_gradients_are_not_scaled():
    network = Net()
    (network(torch.tensor([1])).sum() * 1e-3).backward()
    before = [p.grad.to_dense().clone() for p in network.parameters()]
    _clip(network, 1.0)
    for parameter, gradient in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter.grad.to_dense(), gradient)


def test_schedule_of_both_optimizers():
    options = TrainingOptions(epochs=2, warm_up=0.5, learning_rate=1.0, id_learning_rate=0.1)
    dense, ids = _optimizers(Net(), options)
    for optimizer, peak in ((dense, 1.0), (ids, 0.1)):
        schedule = _schedule(optimizer, steps=4, options=options)
        rates = [schedule.lr_lambdas[0](step) for step in range(9)]
        falling = [0.5 * (1 + math.cos(math.pi * done / 4)) for done in range(5)]
        assert rates == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, *falling], abs=1e-6)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(peak / 4)


def test_whoever_watches_is_asked_between_epochs_and_can_end_the_fit(tmp_path):
    told = []

    def enough(epochs):
        told.append([epoch[SCORE] for epoch in epochs])
        return len(epochs) == 2

    options = TrainingOptions(epochs=5, checkpoint_folder=tmp_path)
    watched = replace(make_task(scores=[0.2, 0.1, 0.3]), enough=enough)
    progress = train(watched, options, 3)
    assert told == [[0.2], [0.2, 0.1]]
    assert len(progress.epochs) == 2
    assert not list(tmp_path.iterdir())
    best = make_task()
    train(best, TrainingOptions(epochs=5, stop_after=1), 3)
    assert_same(weights(watched), weights(best))


def test_whoever_watches_a_resumed_fit_is_told_of_the_epochs_before(tmp_path):
    options, told = TrainingOptions(epochs=4, checkpoint_folder=tmp_path), []
    with pytest.raises(KilledError):
        train(make_task(scores=[0.2, 0.3], killed_at=2), options, 3)

    def enough(epochs):
        told.append(len(epochs))
        return False

    train(replace(make_task(scores=[0.4, 0.5]), enough=enough), options, 3)
    assert told == [2, 3]
