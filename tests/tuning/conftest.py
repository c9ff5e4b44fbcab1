import pytest
from tuning.tiny_search import make_search

from recsys_kedro.fitting import training_data
from recsys_kedro.models.base import Validation
from recsys_kedro.models.registry import MODELS
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.search import Search


@pytest.fixture
def tiny(tmp_path):
    """Searches of ``recent_popularity`` on eight events, in a folder of this test."""

    def search(**changes):
        return make_search(tmp_path / "tuning", **changes)

    return search


@pytest.fixture(scope="session")
def hybrid_data(shop, shop_events, shop_snapshots, shop_lists, shop_split):
    """All before the validation window of the test shop, and some users of that window."""
    from recsys_kedro.features.options import FeatureOptions
    from recsys_kedro.fitting import queries_at
    from recsys_kedro.splits import window_truth

    cut = shop_split.validation_start
    truth = window_truth(shop_events, cut, shop_split.test_start, shop_split)
    tables = (shop_events, shop.products, shop.users)
    queries = queries_at(truth, *tables, cut, FeatureOptions())
    validation = Validation(queries, truth)
    return training_data(*tables, shop_snapshots, shop_lists, shop_split, cut, validation)


@pytest.fixture
def hybrid(hybrid_data, tmp_path):
    """Searches of small hybrids."""

    def search(space, trials, **changes):
        preset = MODELS["hybrid"].options_type.model_validate(
            {
                "list_size": 32,
                "network": {"width": 4, "heads": 2, "hidden": 16},
                "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.01},
            }
        )
        options = TuningOptions.model_validate(
            {
                "model": "hybrid",
                "trials": trials,
                "folder": tmp_path / "tuning",
                "resamples": 100,
                "space": {"hybrid": space},
                **changes,
            }
        )
        return Search("test", [preset], hybrid_data, options, seed=7)

    return search
