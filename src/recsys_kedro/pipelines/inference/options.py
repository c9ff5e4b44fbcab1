"""Parameters of the batch inference."""

from pydantic import Field

from recsys_kedro.options import Options


class InferenceOptions(Options):
    """What the shop gets."""

    k: int = Field(20, ge=1, description="products per user")
    filter_purchased: bool = Field(False, description="leave out what the user has bought")
    diversity: float = Field(0.2, ge=0, le=1, description="0: by relevance alone")
    users_at_once: int = Field(2_000, ge=1, description="bounds the memory")
