from recsys_kedro.pipeline_registry import register_pipelines


def test_default_is_the_sum_of_its_stages():
    pipelines = register_pipelines()
    default = pipelines.pop("__default__")
    for on_demand in ("ab_testing", "monitoring", "rollback", "seasons", "tuning"):
        assert pipelines.pop(on_demand).nodes
    assert {node.name for node in default.nodes} == {
        node.name for pipeline in pipelines.values() for node in pipeline.nodes
    }


def test_stages_stand_in_the_order_of_the_data():
    """No stage reads what a later stage makes."""
    made_later: set[str] = set()
    for name, pipeline in reversed(register_pipelines().items()):
        if name != "__default__":
            made_later |= pipeline.outputs() | {o for node in pipeline.nodes for o in node.outputs}
            assert not pipeline.inputs() & made_later, name
