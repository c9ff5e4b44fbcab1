"""How large the simulated shop is and how its shoppers behave."""

from datetime import date
from typing import Self

from pydantic import Field, model_validator

from recsys_kedro.options import Options


class SimulationOptions(Options):
    """Sizes and behaviour of one simulated shop."""

    users: int = Field(5_000, ge=1, description="user accounts, joined by the end")
    products: int = Field(2_000, ge=1, description="products, created by the end")
    categories: int = Field(20, ge=1, description="top-level categories, at most one a product")
    brands: int = Field(80, ge=1, description="brands over all categories")
    start: date = Field(date(2024, 1, 1), description="first day, UTC")
    days: int = Field(365, ge=1, description="length of the simulated period, days")
    events_per_user: float = Field(
        150.0, gt=0, description="mean events per user over the period, all types"
    )
    signal: float = Field(
        1.0, ge=0, le=2, description="how much tastes decide: 0 nothing, 1 a lot, 2 nearly all"
    )
    new_user_share: float = Field(
        0.3, ge=0, le=1, description="share of users who join during the period"
    )
    new_product_share: float = Field(
        0.2, ge=0, le=0.9, description="share of products that arrive during the period"
    )
    consumable_share: float = Field(
        0.3, ge=0, le=1, description="share of products that are used up and bought again"
    )
    christmas: float = Field(
        0.0,
        ge=0,
        le=3,
        description="how far some categories and products grow before Christmas: "
        "natural log of times their demand; products twice that",
    )
    return_share: float = Field(
        0.03, ge=0, le=1, description="share of purchases that are sent back"
    )

    @model_validator(mode="after")
    def _every_category_has_a_product(self) -> Self:
        if self.categories > self.products:
            msg = (
                f"categories is {self.categories} and products only {self.products}: "
                f"each category needs a product. Lower categories or raise products."
            )
            raise ValueError(msg)
        return self
