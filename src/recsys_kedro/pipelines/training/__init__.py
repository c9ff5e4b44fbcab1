"""Every model: settings chosen on validation, then fitted again and asked for the test lists."""

from recsys_kedro.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
