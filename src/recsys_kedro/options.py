"""The base of every options class: parameters are checked before the first node runs."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A frozen block of parameters; an unknown key is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
