from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

from recsys_kedro.models.registry import ModelsOptions
from recsys_kedro.pipelines.tuning import create_pipeline
from recsys_kedro.settings import CONFIG_LOADER_ARGS
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.space import values_of

CONF = Path(__file__).parents[3] / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if (path / "globals.yml").is_file())


def test_it_reads_nothing_of_the_test():
    pipeline = create_pipeline()
    assert not {name for name in pipeline.inputs() if name.startswith("test_")}
    assert pipeline.outputs() == {"tuned_settings", "tuning_report"}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_spaces_hold_the_settings_that_the_search_begins_with(env):
    """In every environment for the model that is tuned by default, in base for all."""
    config = OmegaConfigLoader(conf_source=str(CONF), env=env, **CONFIG_LOADER_ARGS)
    parameters = config["parameters"]
    models = ModelsOptions.model_validate(parameters["models"])
    options = TuningOptions.model_validate(parameters["tuning"])
    assert options.model in options.space
    for model in options.space if env == "base" else [options.model]:
        presets = getattr(models, model)
        assert len(presets) < options.trials
        for preset in presets:
            assert values_of(preset, options.dimensions(model), f"{env}: models.{model}")
