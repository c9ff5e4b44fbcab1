"""Judges every model on the test window and reports it."""

from recsys_kedro.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
