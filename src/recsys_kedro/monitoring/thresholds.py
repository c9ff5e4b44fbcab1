"""From which value on a figure is worth a warning, or an alert."""

from typing import Self

from pydantic import Field, model_validator

from recsys_kedro.options import Options


class Bounds(Options):
    """Where a figure leaves what is normal; at least one bound.

    ``fall`` and ``rise`` are shares of the figure's median over the windows of the reference.
    """

    below: float | None = Field(None, description="in the figure's unit")
    above: float | None = Field(None, description="in the figure's unit")
    fall: float | None = Field(None, gt=0, le=1, description="0.2: a fifth below the reference")
    rise: float | None = Field(None, gt=0, description="0.2: a fifth above the reference")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if all(bound is None for bound in self.model_dump().values()):
            msg = "no bound: give one of below, above, fall, rise"
            raise ValueError(msg)
        return self

    @property
    def relative(self) -> bool:
        """Whether a reference is needed."""
        return self.fall is not None or self.rise is not None

    def lower(self, reference: float | None) -> float | None:
        """The value below which it is crossed."""
        fall = None if self.fall is None or reference is None else reference * (1 - self.fall)
        return max((bound for bound in (self.below, fall) if bound is not None), default=None)

    def upper(self, reference: float | None) -> float | None:
        """The value above which it is crossed."""
        rise = None if self.rise is None or reference is None else reference * (1 + self.rise)
        return min((bound for bound in (self.above, rise) if bound is not None), default=None)


class Threshold(Options):
    """When a figure warns and when it alerts; with less than ``minimum`` it does neither."""

    minimum: int = Field(ge=0, description="observations; fewer are not enough data")
    warning: Bounds | None = None
    alert: Bounds | None = None

    @model_validator(mode="after")
    def _judges_something(self) -> Self:
        if self.warning is None and self.alert is None:
            msg = "neither warning nor alert: give one, or leave the figure out"
            raise ValueError(msg)
        return self
