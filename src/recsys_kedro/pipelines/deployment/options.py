"""Parameters of the promotion gate."""

from pydantic import Field

from recsys_kedro.options import Options


class DeploymentOptions(Options):
    """When a model may take the champion's place."""

    margin: float = Field(
        0.005, ge=0, description="how far mean NDCG@10 may fall below the champion's on a refresh"
    )
    resamples: int = Field(1000, ge=100, description="bootstrap resamples of the users")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
