from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.deployment import create_pipeline


def test_every_model_competes_and_the_test_window_plays_no_part():
    pipeline = create_pipeline()
    (gate,) = (node for node in pipeline.nodes if node.name == "decide_promotion")
    assert {name.split(".")[0] for name in gate.inputs if name.endswith(".choice")} == set(MODELS)
    before = pipeline.to_nodes("decide_promotion")
    assert not [name for name in before.inputs() if "test" in name or name == "evaluation"]
    assert "registration" in pipeline.outputs()
