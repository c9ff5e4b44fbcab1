"""The products of the simulated shop, with what is true about them.

Shapes: P products, K categories, G subcategories, B brands, D latent dimensions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_kedro import columns as c
from recsys_kedro.simulation.names import (
    STYLES,
    SUBCATEGORIES_PER_CATEGORY,
    brand_names,
    category_names,
    numbered_ids,
    subcategory_names,
)
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.period import SECONDS_PER_DAY, times

LATENT_DIMENSIONS = 6
# Variance of a product's own latent part that subcategory, brand and the product itself explain.
SUBCATEGORY_SHARE, BRAND_SHARE, OWN_SHARE = 0.5, 0.2, 0.3
ZIPF_EXPONENT = 0.6
CYCLE_DAYS = (15.0, 45.0)


@dataclass(frozen=True)
class Catalogue:
    """The products, sorted by category (their ids are in no order).

    Attributes:
        ids: (P,) product ids.
        category, subcategory, brand: (P,) index of the name.
        first_of_category: (K + 1,) the products of category k are ``[first[k], first[k + 1])``.
        centroid_KD: where each category lies among the tastes.
        own_PD: how each product differs from its category; unit variance per dimension.
        price: (P,) list price, shop's currency.
        price_position: (P,) standard deviations of log price above its subcategory's mean.
        log_appeal: (P,) Zipf-like.
        created_second: (P,) seconds from the start of the period, negative before it.
        cycle_days: (P,) days until a consumable is used up; NaN for durable products.
    """

    ids: pl.Series
    category: NDArray[np.int32]
    subcategory: NDArray[np.int32]
    brand: NDArray[np.int32]
    first_of_category: NDArray[np.int64]
    centroid_KD: NDArray[np.float32]
    own_PD: NDArray[np.float32]
    price: NDArray[np.float64]
    price_position: NDArray[np.float32]
    log_appeal: NDArray[np.float32]
    created_second: NDArray[np.int64]
    cycle_days: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.category)

    @property
    def category_names(self) -> pl.Series:
        """(K,) by index."""
        return pl.Series(category_names(len(self.centroid_KD)))

    @property
    def subcategory_names(self) -> pl.Series:
        """(G,) by index."""
        return pl.Series(subcategory_names(len(self.centroid_KD)))


def make_catalogue(options: SimulationOptions, rng: np.random.Generator) -> Catalogue:
    """Draw the products."""
    count, categories = options.products, options.categories
    extra = rng.integers(0, categories, count - categories)
    category = np.sort(np.concatenate([np.arange(categories), extra])).astype(np.int32)
    within = rng.integers(0, SUBCATEGORIES_PER_CATEGORY, count)
    subcategory = (category * SUBCATEGORIES_PER_CATEGORY + within).astype(np.int32)
    # A category is made by some of the brands, so that brands say something about it.
    brand = (category * 7 + rng.integers(0, max(3, options.brands // 4), count)) % options.brands
    price_position = rng.standard_normal(count).astype(np.float32)
    return Catalogue(
        ids=_shuffled_ids("P", count, rng),
        category=category,
        subcategory=subcategory,
        brand=brand.astype(np.int32),
        first_of_category=np.searchsorted(category, np.arange(categories + 1)),
        centroid_KD=_normal(categories, rng),
        own_PD=_own_part(subcategory, brand, options, rng),
        price=_prices(subcategory, price_position, options, rng),
        price_position=price_position,
        log_appeal=_log_appeal(count, rng),
        created_second=_created(options, category, rng),
        cycle_days=_cycles(options, rng),
    )


def products_table(
    catalogue: Catalogue, options: SimulationOptions, rng: np.random.Generator
) -> pl.DataFrame:
    """The products in the shape of the data contract, sorted by product_id.

    ``stock_quantity`` and ``updated_at`` are noise: nothing in the table knows the future.
    """
    count = len(catalogue)
    style = _style(catalogue.own_PD)
    styles, brands = pl.Series(STYLES), pl.Series(brand_names(options.brands))
    end = options.days * SECONDS_PER_DAY
    updated = rng.uniform(np.maximum(catalogue.created_second, 0), end).astype(np.int64)
    stock = rng.lognormal(4.0, 1.0, count) * (rng.random(count) > 0.03)
    frame = pl.DataFrame(
        {
            c.PRODUCT_ID: catalogue.ids,
            "style": styles.gather(style),
            c.CATEGORY: catalogue.category_names.gather(catalogue.category),
            c.SUBCATEGORY: catalogue.subcategory_names.gather(catalogue.subcategory),
            c.BRAND: brands.gather(catalogue.brand),
            c.PRICE: catalogue.price,
            c.STOCK_QUANTITY: stock.astype(np.int64),
            "consumable": np.isfinite(catalogue.cycle_days),
            c.CREATED_AT: times(options, catalogue.created_second),
            c.UPDATED_AT: times(options, updated),
        }
    )
    name = pl.concat_str(c.BRAND, "style", c.SUBCATEGORY, separator=" ")
    return frame.select(
        c.PRODUCT_ID,
        name.alias(c.NAME),
        c.CATEGORY,
        c.SUBCATEGORY,
        c.BRAND,
        c.PRICE,
        c.STOCK_QUANTITY,
        pl.struct("style", "consumable").struct.json_encode().alias(c.FEATURES),
        c.CREATED_AT,
        c.UPDATED_AT,
    ).sort(c.PRODUCT_ID)


def _shuffled_ids(prefix: str, count: int, rng: np.random.Generator) -> pl.Series:
    return numbered_ids(prefix, count).gather(rng.permutation(count))


def _normal(rows: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal((rows, LATENT_DIMENSIONS), dtype=np.float32)


def _own_part(
    subcategory: NDArray[np.int32],
    brand: NDArray[np.int64],
    options: SimulationOptions,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    of_subcategory = _normal(options.categories * SUBCATEGORIES_PER_CATEGORY, rng)
    of_brand = _normal(options.brands, rng)
    own: NDArray[np.float32] = (
        np.float32(np.sqrt(SUBCATEGORY_SHARE)) * of_subcategory[subcategory]
        + np.float32(np.sqrt(BRAND_SHARE)) * of_brand[brand]
        + np.float32(np.sqrt(OWN_SHARE)) * _normal(len(subcategory), rng)
    )
    return own


def _style(own_PD: NDArray[np.float32]) -> NDArray[np.int64]:
    strongest = np.abs(own_PD).argmax(axis=1)
    positive = np.take_along_axis(own_PD, strongest[:, None], axis=1)[:, 0] > 0
    style: NDArray[np.int64] = 2 * strongest + positive
    return style


def _prices(
    subcategory: NDArray[np.int32],
    position: NDArray[np.float32],
    options: SimulationOptions,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    level = rng.normal(3.0, 0.8, options.categories * SUBCATEGORIES_PER_CATEGORY)
    return np.maximum(np.exp(level[subcategory] + 0.5 * position.astype(np.float64)).round(2), 0.1)


def _log_appeal(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    rank = rng.permutation(count) + 1 + 0.01 * count
    appeal: NDArray[np.float32] = (-ZIPF_EXPONENT * np.log(rank)).astype(np.float32)
    return appeal


def _created(
    options: SimulationOptions, category: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int64]:
    count = options.products
    during = rng.random(count) < options.new_product_share
    during[np.unique(category, return_index=True)[1]] = False  # no category starts empty
    before = -rng.exponential(400.0, count) - 1.0
    days = np.where(during, rng.uniform(0.0, options.days, count), before)
    seconds: NDArray[np.int64] = np.floor(days * SECONDS_PER_DAY).astype(np.int64)
    return seconds


def _cycles(options: SimulationOptions, rng: np.random.Generator) -> NDArray[np.float32]:
    cycle = rng.uniform(*CYCLE_DAYS, options.products)
    consumable = rng.random(options.products) < options.consumable_share
    return np.where(consumable, cycle, np.nan).astype(np.float32)
