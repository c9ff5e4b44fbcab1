"""Parameters of the batch inference."""

from typing import Self

from pydantic import Field, model_validator

from recsys_kedro.options import Options


class InferenceOptions(Options):
    """What the shop gets."""

    k: int = Field(20, ge=1, description="products per user")
    filter_purchased: bool = Field(False, description="leave out what the user has bought")
    diversity: float = Field(0.2, ge=0, le=1, description="0: by relevance alone")
    users_at_once: int = Field(2_000, ge=1, description="bounds the memory")
    partitions: int = Field(1, ge=1, description="parts that the users are dealt into, by hash")
    partition: int = Field(0, ge=0, description="which of them gets its lists, from 0")

    @model_validator(mode="after")
    def _there_is_such_a_partition(self) -> Self:
        if self.partition >= self.partitions:
            msg = f"partition is {self.partition}; of {self.partitions} the last is partitions - 1"
            raise ValueError(msg)
        return self
