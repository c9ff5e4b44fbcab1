from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.training import create_pipeline


def test_every_model_is_chosen_and_tested_alike():
    pipeline = create_pipeline()
    made = ("choice", "validation_recommendations", "test_recommendations")
    assert pipeline.all_outputs() == {f"{model}.{name}" for model in MODELS for name in made}
    one = create_pipeline(["ease"])
    assert {node.namespace for node in one.nodes} == {"ease"}
    assert "validation_truth" in one.inputs()
    assert "test_truth" not in pipeline.inputs(), "no model sees what it is tested on"
