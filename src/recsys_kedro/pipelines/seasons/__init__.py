"""A model of its own for each declared season, if it is no worse in it; run on demand."""

from recsys_kedro.pipelines.seasons.pipeline import create_pipeline

__all__ = ["create_pipeline"]
