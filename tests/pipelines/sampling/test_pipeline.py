from recsys_kedro.pipelines.sampling import create_pipeline


def test_what_goes_in_and_what_comes_out():
    pipeline = create_pipeline()
    parameters = {"features", "sampling", "seed"}
    tables = {"events", "products", "users", "product_snapshots", "split"}
    assert pipeline.inputs() == tables | {f"params:{name}" for name in parameters}
    truths = {"validation_truth", "test_truth"}
    outputs = {"validation_queries", "test_queries", "training_lists"}
    assert pipeline.all_outputs() == truths | outputs
