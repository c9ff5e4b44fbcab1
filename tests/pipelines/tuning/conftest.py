import pytest

from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.models.registry import MODELS, ModelsOptions
from recsys_kedro.pipelines.sampling.nodes import build_evaluation_queries, build_truth
from recsys_kedro.pipelines.tuning.nodes import search_settings
from recsys_kedro.tuning.options import TuningOptions


def presets_of(model, *settings):
    return [MODELS[model].options_type.model_validate(each) for each in settings]


@pytest.fixture(scope="session")
def models():
    """Settings of one model, as the training has them."""
    presets = presets_of("item_knn", {"neighbours": 20}, {"neighbours": 100, "own_weight": 3})
    return ModelsOptions.model_construct(item_knn=presets)


@pytest.fixture(scope="session")
def run_search(shop, shop_events, shop_snapshots, shop_lists, shop_split, models):
    """Runs the node on the test shop; what is given takes the place of the shop's own."""
    truths = build_truth(shop_events, shop_split)
    tables = (shop_events, shop.products, shop.users)
    queries, _ = build_evaluation_queries(*truths, *tables, shop_split, FeatureOptions())

    def run(folder, events=None, products=None, snapshots=None, **options):
        space = {
            "item_knn": {
                "neighbours": {"low": 5, "high": 150, "log": True},
                "own_weight": {"low": 0.1, "high": 10, "log": True},
            }
        }
        given = {"model": "item_knn", "trials": 5, "folder": folder, "resamples": 100}
        return search_settings(
            shop_events if events is None else events,
            shop.products if products is None else products,
            shop.users,
            shop_snapshots if snapshots is None else snapshots,
            shop_lists,
            shop_split,
            queries,
            truths[0],
            models,
            TuningOptions.model_validate(given | {"space": space} | options),
            "test",
            7,
        )

    return run


@pytest.fixture(scope="session")
def result(run_search, tmp_path_factory):
    """A study of nine trials of item-kNN, enough to say which option matters."""
    return run_search(tmp_path_factory.mktemp("tuning"), trials=9)
