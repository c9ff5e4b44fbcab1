"""Features as of the cuts: users, products, and products on a grid of times."""

from recsys_kedro.pipelines.feature_engineering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
