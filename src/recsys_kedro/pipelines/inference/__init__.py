"""Lists for all users, in one table."""

from recsys_kedro.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
