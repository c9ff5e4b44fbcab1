"""Back to the champion before this one."""

from recsys_kedro.pipelines.rollback.pipeline import create_pipeline

__all__ = ["create_pipeline"]
