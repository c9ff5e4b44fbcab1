"""From the best model on validation to a registered champion."""

from recsys_kedro.pipelines.deployment.pipeline import create_pipeline

__all__ = ["create_pipeline"]
