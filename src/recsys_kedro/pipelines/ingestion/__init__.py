"""A shop's raw tables become the tables of the data contract."""

from recsys_kedro.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
