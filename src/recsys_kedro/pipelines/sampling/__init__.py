"""The time split, its queries and truths, and the lists that ranking learns from."""

from recsys_kedro.pipelines.sampling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
