"""All pipelines by name, in the order in which data flows through them."""

from kedro.pipeline import Pipeline

from recsys_kedro.pipelines import (
    ab_testing,
    deployment,
    evaluation,
    feature_engineering,
    inference,
    ingestion,
    monitoring,
    online_store,
    rollback,
    sampling,
    seasons,
    training,
    tuning,
)


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines that ``kedro run --pipelines=<name>`` takes; the default is their sum."""
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "feature_engineering": feature_engineering.create_pipeline(),
        "sampling": sampling.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "deployment": deployment.create_pipeline(),
        "inference": inference.create_pipeline(),
        "online_store": online_store.create_pipeline(),
    }
    on_demand = {
        "ab_testing": ab_testing.create_pipeline(),
        "monitoring": monitoring.create_pipeline(),
        "rollback": rollback.create_pipeline(),
        "seasons": seasons.create_pipeline(),
        "tuning": tuning.create_pipeline(),
    }
    return {"__default__": sum(stages.values(), Pipeline([])), **stages, **on_demand}
