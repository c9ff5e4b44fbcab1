"""Fits that begin with the weights of earlier ones, and never with those of later data."""

from datetime import timedelta

import pytest
import torch

from recsys_kedro.fitting import training_data
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.models.warm_start import keep_weights, take_up_weights

SEED = 5


def options(**training):
    return HybridOptions.model_validate(
        {"training": {"epochs": 1, "batch_size": 64, **training}, "list_size": 16}
    )


@pytest.fixture(scope="module")
def data_at(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    tables = (shop_events, shop.products, shop.users, shop_snapshots, shop_lists)
    return lambda cut: training_data(*tables, shop_split, cut)


@pytest.fixture(scope="module")
def earlier(data_at, shop_split):
    return Hybrid.fit(data_at(shop_split.validation_start), options(), SEED)


@pytest.fixture(scope="module")
def later(data_at, shop_split):
    return Hybrid.fit(data_at(shop_split.test_start), options(), SEED)


def test_rows_go_by_name_and_new_ones_stay_fresh(earlier, later, tmp_path):
    cut = later.snapshot.scorers.as_of
    keep_weights(earlier, tmp_path, earlier.snapshot.scorers.as_of)
    before = {name: value.clone() for name, value in later.network.state_dict().items()}
    assert take_up_weights(later, tmp_path, cut) == earlier.snapshot.scorers.as_of
    after, old = later.network.state_dict(), earlier.network.state_dict()
    ids, old_ids = (
        later.snapshot.vocabulary.ids.to_list(),
        earlier.snapshot.vocabulary.ids.to_list(),
    )
    new = sorted(set(ids) - set(old_ids))
    assert new
    for weight in ("product.weight", "bias.weight"):
        for id_ in (old_ids[0], old_ids[-1]):
            assert torch.equal(after[weight][ids.index(id_)], old[weight][old_ids.index(id_)])
        assert torch.equal(after[weight][ids.index(new[0])], before[weight][ids.index(new[0])])
    assert torch.equal(after["profile.weight"], old["profile.weight"])
    assert torch.equal(after["mean"], before["mean"])
    assert not torch.equal(after["mean"], old["mean"])


def test_only_weights_from_before_the_cut_are_taken(earlier, later, tmp_path):
    cut = earlier.snapshot.scorers.as_of
    for time in (cut, cut + timedelta(days=1)):
        keep_weights(later, tmp_path, time)
    assert take_up_weights(earlier, tmp_path, cut) is None
    assert take_up_weights(earlier, tmp_path / "none", cut) is None
    keep_weights(later, tmp_path, cut - timedelta(days=2))
    keep_weights(later, tmp_path, cut - timedelta(days=1))
    assert take_up_weights(earlier, tmp_path, cut) == cut - timedelta(days=1)


def test_renamed_weights_of_the_future_are_an_error(earlier, later, tmp_path):
    cut = earlier.snapshot.scorers.as_of
    keep_weights(later, tmp_path, later.snapshot.scorers.as_of)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "20000101T000000000000.safetensors")
    with pytest.raises(ValueError, match="would know the future"):
        take_up_weights(earlier, tmp_path, cut)


def test_weights_of_another_network_are_an_error(data_at, shop_split, earlier, tmp_path):
    keep_weights(earlier, tmp_path, earlier.snapshot.scorers.as_of)
    wide = options(weights_folder=tmp_path).model_copy(
        update={"network": earlier.options.network.model_copy(update={"width": 8})}
    )
    with pytest.raises(ValueError, match="does not fit the network"):
        Hybrid.fit(data_at(shop_split.test_start), wide, SEED)


def test_warm_fit_starts_lower_and_leaves_its_own_weights(
    data_at, shop_split, earlier, later, tmp_path
):
    keep_weights(earlier, tmp_path, earlier.snapshot.scorers.as_of)
    data = data_at(shop_split.test_start)
    warm = Hybrid.fit(data, options(weights_folder=tmp_path), SEED)
    assert warm.epochs[0]["loss_all"] < later.epochs[0]["loss_all"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    again = Hybrid.fit(data, options(weights_folder=tmp_path), SEED)
    assert again.epochs[0]["loss_all"] == pytest.approx(warm.epochs[0]["loss_all"], abs=1e-6)
