from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.evaluation import create_pipeline


def test_every_registered_model_is_evaluated():
    inputs = create_pipeline().inputs()
    assert {f"{model}.test_recommendations" for model in MODELS} <= inputs


def test_the_models_can_be_named():
    pipeline = create_pipeline(["ease", "hybrid"])
    assert pipeline.inputs() == {
        "ease.test_recommendations",
        "hybrid.test_recommendations",
        "test_truth",
        "events",
        "products",
        "users",
        "split",
        "params:evaluation",
        "params:seed",
        "params:shop",
    }
    assert pipeline.outputs() == {"evaluation_report"}
    assert "evaluation" in pipeline.all_outputs()
