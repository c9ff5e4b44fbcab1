"""Logged impressions as choices, to ask what another policy would have earned."""

from typing import Final

import numpy as np
import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.experiments.off_policy import LoggedChoices
from recsys_kedro.queries import codes_of

_BEST_IS_ABOVE: Final = 0.5


def without_exploration(shown: pl.DataFrame, reward: str) -> LoggedChoices:
    """What if every slot had shown the best that was left, with those above it as they were?

    At most half of the slots are drawn (``ExplorationOptions.share``), so the best that is left
    has a propensity above a half, and every other product one below.

    Args:
        shown: impressions with their ``propensity``, and with what followed.
        reward: its column: a flag, or revenue.
    """
    propensity = shown[c.PROPENSITY].to_numpy()
    return LoggedChoices(
        reward=shown[reward].cast(pl.Float64).to_numpy(),
        propensity=propensity,
        target=(propensity > _BEST_IS_ABOVE).astype(np.float64),
        unit=codes_of(shown[c.USER_ID]),
    )
