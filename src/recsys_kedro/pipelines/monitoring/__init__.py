"""Measures what was served against what was usual, reports it, and raises the alarm."""

from recsys_kedro.pipelines.monitoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
