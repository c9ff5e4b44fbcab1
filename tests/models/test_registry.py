from pathlib import Path

import pytest
import yaml

from recsys_kedro.models.registry import MODELS, ModelsOptions

SETTINGS = Path(__file__).parents[2] / "conf" / "base" / "parameters_models.yml"
ONE_EACH = {name: [{}] for name in MODELS}


def test_models_have_their_own_names_and_the_simple_ones_come_first():
    assert list(MODELS) == [model.name for model in MODELS.values()]
    baselines = ["popularity", "recent_popularity", "own_history", "item_knn", "ease", "linear"]
    assert list(MODELS)[:6] == baselines


def test_the_settings_of_the_project_are_valid_and_distinct():
    settings = ModelsOptions.model_validate(yaml.safe_load(SETTINGS.read_text())["models"])
    for name in MODELS:
        tried = getattr(settings, name)
        assert all(type(options) is MODELS[name].options_type for options in tried)
        assert all(tried.count(options) == 1 for options in tried)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ease": []}, "ease"),
        ({"ease": [{"l2": 0}]}, r"ease\.0\.l2"),
        ({"ease": [{"lambda": 5}]}, r"ease\.0\.lambda"),
        ({"eaze": [{}]}, "eaze"),
    ],
)
def test_a_wrong_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        ModelsOptions.model_validate(ONE_EACH | change)
