"""From the tables of a run to the online store in Redis."""

from recsys_kedro.pipelines.online_store.pipeline import create_pipeline

__all__ = ["create_pipeline"]
