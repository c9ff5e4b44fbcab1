"""Parameters of the evaluation."""

from typing import Annotated, Final

from pydantic import Field, field_validator

from recsys_kedro.metrics.evaluation import HEADLINE_K
from recsys_kedro.options import Options

LIST_LENGTH: Final = 50


class EvaluationOptions(Options):
    """How lists are judged and how sure the figures are."""

    ks: tuple[Annotated[int, Field(ge=1, le=LIST_LENGTH)], ...] = Field(
        (1, 5, 10, 20, 50), description="list lengths that are judged, products; 10 is required"
    )
    resamples: int = Field(
        1_000, ge=100, le=100_000, description="bootstrap draws of the users per interval"
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="share of the draws inside an interval"
    )
    min_segment_users: int = Field(
        20, ge=1, description="users; smaller segments are put together as 'other segments'"
    )

    @field_validator("ks")
    @classmethod
    def _has_the_headline(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if HEADLINE_K not in ks:
            msg = f"evaluation.ks: {list(ks)} lacks {HEADLINE_K}, the length of the headline"
            raise ValueError(msg)
        return tuple(sorted(set(ks)))
