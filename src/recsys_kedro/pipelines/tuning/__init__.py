"""A search for better settings of one model, judged on the validation window."""

from recsys_kedro.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
