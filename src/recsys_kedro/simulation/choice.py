"""The choice model: what a product is worth to a user, and what follows from that.

A multinomial logit (McFadden 1974, "Conditional logit analysis of qualitative choice
behavior") with an outside option: everything that a user considers gets its utility plus
Gumbel noise; what beats the noisy outside option is wanted. Exposure (what gets into
consideration) is drawn by appeal, so appeal needs no place in the utility.

Shapes: S sessions or users, N products per session, K categories, D latent dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_kedro.simulation.catalogue import LATENT_DIMENSIONS, Catalogue
from recsys_kedro.simulation.memory import EMPTY, PurchaseMemory
from recsys_kedro.simulation.shoppers import Shoppers

# Standard deviations of log odds at signal 1.
CATEGORY_TASTE = 1.8
PRODUCT_TASTE = 1.6
REPEAT_BONUS = 2.5
OWNED_PENALTY = 4.0
OWNED_FADING = 3.0
# Weight of "nothing", where a considered product weighs 1 in the mean over users.
OUTSIDE_WEIGHT = 6.0


@dataclass(frozen=True)
class Choices:
    """What S sessions make of N considered products each.

    Attributes:
        liking_SN: utility plus noise; orders what a session looks at.
        wanted_SN: it beat the outside option.
    """

    liking_SN: NDArray[np.float32]
    wanted_SN: NDArray[np.bool_]


def choose(utility_SN: NDArray[np.float32], rng: np.random.Generator) -> Choices:
    """Draw the noise. A product with utility -inf is never wanted."""
    liking_SN = utility_SN + _gumbel(utility_SN.shape, rng)
    outside_S = np.log(OUTSIDE_WEIGHT) + _gumbel((len(utility_SN),), rng)
    return Choices(liking_SN, liking_SN > outside_S[:, None])


def category_log_odds(
    taste_SD: NDArray[np.float32],
    catalogue: Catalogue,
    log_season_K: NDArray[np.float32],
    signal: float,
) -> NDArray[np.float32]:
    """(S, K) unnormalised log probability that a session is about each category."""
    scale = np.float32(signal * CATEGORY_TASTE / np.sqrt(LATENT_DIMENSIONS))
    odds: NDArray[np.float32] = scale * (taste_SD @ catalogue.centroid_KD.T) + log_season_K
    return odds


def draw_categories(
    log_odds_SK: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(S,) one category per session."""
    category: NDArray[np.int64] = (log_odds_SK + _gumbel(log_odds_SK.shape, rng)).argmax(axis=1)
    return category


def product_utility(
    user_S: NDArray[np.int64],
    product_SN: NDArray[np.integer],
    shoppers: Shoppers,
    catalogue: Catalogue,
    signal: float,
) -> NDArray[np.float32]:
    """(S, N) taste for the product within its category, and fit of its price.

    The taste part is log-normal with mean weight 1 over users, whatever the signal.
    """
    sigma = signal * PRODUCT_TASTE
    scale = np.float32(sigma / np.sqrt(LATENT_DIMENSIONS))
    taste_SD1 = shoppers.taste_UD[user_S, :, None]
    taste_SN = (catalogue.own_PD[product_SN] @ taste_SD1)[..., 0]
    price_SN = price_fit(user_S, catalogue.price_position[product_SN], shoppers, signal)
    utility: NDArray[np.float32] = scale * taste_SN - np.float32(sigma**2 / 2) + price_SN
    return utility


def price_fit(
    user_S: NDArray[np.int64],
    position_SN: NDArray[np.float32],
    shoppers: Shoppers,
    signal: float,
) -> NDArray[np.float32]:
    """(S, N) 0 at the user's preferred price position, falling with the squared distance."""
    weight_S1 = np.float32(signal / 2) * shoppers.price_sensitivity[user_S, None]
    fit: NDArray[np.float32] = -weight_S1 * (position_SN - shoppers.price_level[user_S, None]) ** 2
    return fit


def memory_bonus(
    user_S: NDArray[np.int64],
    day_S: NDArray[np.floating],
    memory: PurchaseMemory,
    shoppers: Shoppers,
    catalogue: Catalogue,
) -> NDArray[np.float32]:
    """(S, M) what an earlier purchase adds to the utility of each remembered product.

    Who owns a product hardly wants another. A durable one is owned for good; of a
    consumable that fades as it is used up, and one cycle after the purchase it is wanted
    most (x exp(1 - x), with x the age in cycles). -inf for an empty slot.
    """
    product_SM = memory.product_UM[user_S]
    cycle_SM = catalogue.cycle_days[product_SM]
    empty_SM = product_SM == EMPTY
    age_SM = np.where(empty_SM, 0, day_S[:, None] - memory.day_UM[user_S])
    cycles = np.maximum(age_SM, 0) / cycle_SM
    due = cycles * np.exp(1 - cycles) * shoppers.repeat_tendency[user_S, None]
    consumable = REPEAT_BONUS * due - OWNED_PENALTY * np.exp(-OWNED_FADING * cycles)
    bonus = np.where(np.isnan(cycle_SM), -OWNED_PENALTY, consumable)
    return np.where(empty_SM, -np.inf, bonus).astype(np.float32)


def _gumbel(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    draw = rng.standard_exponential(shape, dtype=np.float32)
    return -np.log(np.maximum(draw, np.float32(1e-30)))
