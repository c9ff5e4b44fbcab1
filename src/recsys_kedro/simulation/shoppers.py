"""The users of the simulated shop, with what is true about them.

Shapes: U users, K categories, D latent dimensions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.simulation.catalogue import LATENT_DIMENSIONS, Catalogue
from recsys_kedro.simulation.names import numbered_ids
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import SECONDS_PER_DAY, times

DEVICES = ("mobile", "desktop", "tablet")
DEVICE_SHARES = (0.58, 0.35, 0.07)
ACTIVITY_SIGMA = 0.8
AGE_GROUPS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
REGIONS = ("north", "east", "south", "west")
STATED_PREFERENCE_SHARE = 0.5


@dataclass(frozen=True)
class Shoppers:
    """The users.

    Attributes:
        ids: (U,) user ids, ascending.
        taste_UD: where each user lies among the tastes; unit variance per dimension.
        price_level: (U,) the price position that the user likes best.
        price_sensitivity: (U,) how much a distance from it costs, at least 0.
        repeat_tendency: (U,) 0 never buys again, 1 restocks faithfully.
        activity: (U,) sessions relative to the mean user; heavy-tailed, mean about 1.
        device: (U,) index of the usual device.
        created_second: (U,) seconds from the start of the period, negative before it.
    """

    ids: pl.Series
    taste_UD: NDArray[np.float32]
    price_level: NDArray[np.float32]
    price_sensitivity: NDArray[np.float32]
    repeat_tendency: NDArray[np.float32]
    activity: NDArray[np.float64]
    device: NDArray[np.int8]
    created_second: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.activity)

    def first(self, count: int) -> "Shoppers":
        """The first ``count`` of them."""
        return Shoppers(**{name: values[:count] for name, values in vars(self).items()})


def make_shoppers(options: SimulationOptions, rng: np.random.Generator) -> Shoppers:
    """Draw the users."""
    count = options.users
    joins = rng.random(count) < options.new_user_share
    before = -rng.exponential(300.0, count) - 1.0
    created = np.where(joins, rng.uniform(0.0, options.days, count), before)
    return Shoppers(
        ids=numbered_ids("U", count),
        taste_UD=rng.standard_normal((count, LATENT_DIMENSIONS), dtype=np.float32),
        price_level=rng.normal(0.0, 0.7, count).astype(np.float32),
        price_sensitivity=rng.gamma(2.0, 0.25, count).astype(np.float32),
        repeat_tendency=rng.beta(2.0, 2.0, count).astype(np.float32),
        activity=rng.lognormal(-(ACTIVITY_SIGMA**2) / 2, ACTIVITY_SIGMA, count),
        device=rng.choice(len(DEVICES), count, p=DEVICE_SHARES).astype(np.int8),
        created_second=np.floor(created * SECONDS_PER_DAY).astype(np.int64),
    )


def users_table(
    shoppers: Shoppers, catalogue: Catalogue, options: SimulationOptions, rng: np.random.Generator
) -> pl.DataFrame:
    """The users in the shape of the data contract, sorted by user_id.

    ``lifetime_value`` is the revenue before the start of the period (0 for who joined
    later), so that the table never knows the future. Half of the users state the two
    categories that they like best.
    """
    count = len(shoppers)
    age_days = np.maximum(-shoppers.created_second, 0) / SECONDS_PER_DAY
    value = age_days * 0.3 * shoppers.activity * np.exp(0.5 * shoppers.price_level)
    level = shoppers.price_level + rng.normal(0.0, 0.3, count)
    segments = pl.Series(("bargain", "regular", "premium"))
    return pl.DataFrame(
        {
            c.USER_ID: shoppers.ids,
            c.DEMOGRAPHICS: _demographics(count, rng),
            c.PREFERENCES: _preferences(shoppers, catalogue, rng),
            c.LIFETIME_VALUE: (value * rng.lognormal(0.0, 0.2, count)).round(2),
            c.SEGMENT: segments.gather(np.searchsorted([-0.5, 0.5], level)),
            c.CREATED_AT: times(options, shoppers.created_second),
        }
    )


def _demographics(count: int, rng: np.random.Generator) -> pl.Series:
    age = pl.Series("age_group", AGE_GROUPS).gather(rng.integers(0, len(AGE_GROUPS), count))
    region = pl.Series("region", REGIONS).gather(rng.integers(0, len(REGIONS), count))
    return _as_json(pl.DataFrame([age, region]))


def _preferences(shoppers: Shoppers, catalogue: Catalogue, rng: np.random.Generator) -> pl.Series:
    liking_UK = shoppers.taste_UD @ catalogue.centroid_KD.T
    best_U2 = np.argsort(-liking_UK, axis=1, kind="stable")[:, :2]
    names = catalogue.category_names
    liked = pl.concat_list(*(names.gather(column) for column in best_U2.T))
    frame = pl.DataFrame(
        {
            "stated": rng.random(len(shoppers)) < STATED_PREFERENCE_SHARE,
            "newsletter": rng.random(len(shoppers)) < 0.4,
        }
    )
    stated = pl.when("stated").then(liked).otherwise(pl.lit([], pl.List(pl.String)))
    return _as_json(frame.select(stated.alias("favourite_categories"), "newsletter"))


def _as_json(frame: pl.DataFrame) -> pl.Series:
    return frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
