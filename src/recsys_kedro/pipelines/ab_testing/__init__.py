"""Judges the A/B tests by what was shown and what followed, and reports it."""

from recsys_kedro.pipelines.ab_testing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
