"""What the ingestion has to know about a shop's tables."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from recsys_kedro import columns as c
from recsys_kedro.options import Options

EVENT_COLUMNS = (
    c.EVENT_ID,
    c.EVENT_TYPE,
    c.USER_ID,
    c.PRODUCT_ID,
    c.TIMESTAMP,
    c.SESSION_ID,
    c.DEVICE_TYPE,
    c.CATEGORY,
    c.PRICE,
    c.SEARCH_QUERY,
    c.QUANTITY,
    c.RECOMMENDATION_ID,
    c.NAME,
    c.SUBCATEGORY,
    c.BRAND,
)
"""What may be mapped from event rows; the last three describe the product."""

PRODUCT_COLUMNS = (
    c.PRODUCT_ID,
    c.NAME,
    c.CATEGORY,
    c.SUBCATEGORY,
    c.BRAND,
    c.PRICE,
    c.STOCK_QUANTITY,
    c.FEATURES,
    c.CREATED_AT,
    c.UPDATED_AT,
)
USER_COLUMNS = (
    c.USER_ID,
    c.DEMOGRAPHICS,
    c.PREFERENCES,
    c.LIFETIME_VALUE,
    c.SEGMENT,
    c.CREATED_AT,
)


def _keys_among(allowed: tuple[str, ...]) -> AfterValidator:
    def check(mapping: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(mapping) - set(allowed))
        if unknown:
            msg = f"unknown columns {unknown}; ours are {', '.join(allowed)}"
            raise ValueError(msg)
        return mapping

    return AfterValidator(check)


class ExclusionRule(Options):
    """Source rows that are no events of the shop by rule; exactly one test is set.

    Excluded rows are counted under ``name``; they are not bad rows.
    """

    name: str = Field(description="what the report counts the rows under")
    column: str = Field(description="a column of the source, under its own name")
    matches: str | None = Field(None, description="regular expression found in the value")
    not_matches: str | None = Field(None, description="regular expression not found in it")
    empty: bool = Field(False, description="no value, or only blanks")
    equals: tuple[str | float, ...] | None = Field(None, description="one of these values")
    below: float | None = Field(None, description="a number less than this")

    @model_validator(mode="after")
    def _exactly_one_test(self) -> Self:
        tests = (self.matches, self.not_matches, self.empty or None, self.equals, self.below)
        if sum(test is not None for test in tests) != 1:
            msg = f"rule '{self.name}': set one of matches, not_matches, empty, equals, below"
            raise ValueError(msg)
        return self


class ReturnRule(Options):
    """Source rows that tell of a return; their quantity is taken without its sign."""

    column: str = Field(description="a column of the source, under its own name")
    matches: str = Field(description="regular expression found in the value of a return")


class CategoryOptions(Options):
    """How a category is derived from product names. See :mod:`.categories`."""

    minimum_products: int = Field(
        10, ge=1, description="a word that fewer products share is no category"
    )
    other: str = Field("other", min_length=1, description="category of the rest")
    modifiers: frozenset[str] = Field(
        frozenset(), description="words that never name a category: colours, sizes, materials, …"
    )
    breaks: frozenset[str] = Field(
        frozenset(), description="words that end the part of the name that says what it is"
    )


class ShopOptions(Options):
    """How one shop's tables are written. The defaults fit tables in the contract's shape."""

    event_columns: Annotated[dict[str, str], _keys_among(EVENT_COLUMNS)] = Field(
        {}, description="our column of the events -> theirs; equal names need no entry"
    )
    product_columns: Annotated[dict[str, str], _keys_among(PRODUCT_COLUMNS)] = Field(
        {}, description="our column of the products -> theirs"
    )
    user_columns: Annotated[dict[str, str], _keys_among(USER_COLUMNS)] = Field(
        {}, description="our column of the users -> theirs"
    )
    event_type: str | None = Field(
        None, description="type of every event, where the source has no column for it"
    )
    time_formats: tuple[str, ...] = Field(
        (), description="strftime patterns, epoch_s, epoch_ms or epoch_us; empty: ISO 8601"
    )
    time_zone: str = Field("UTC", description="zone of times that name none, e.g. Europe/London")
    exclude: tuple[ExclusionRule, ...] = Field(
        (), description="rows that are no events; the first rule that holds counts"
    )
    returns: ReturnRule | None = Field(None, description="which rows are returns")
    categories: CategoryOptions | None = Field(
        None, description="derive missing categories from names; empty: do not"
    )


class IngestionOptions(Options):
    """From the shop's tables to the data contract."""

    shop: str = Field(description="whose tables these are; a key of shops")
    shops: dict[str, ShopOptions] = Field(
        {}, description="per shop; one without an entry is in the contract's shape"
    )
    event_type_aliases: dict[str, str] = Field(
        {}, description="their event type -> ours; case, blanks and hyphens do not matter"
    )
    max_rejected_share: float = Field(
        0.01, ge=0, le=1, description="rejected / (read - excluded) above which the run fails"
    )
    session_gap_minutes: float = Field(
        30,
        gt=0,
        description="a longer pause starts a session, where the source names none; minutes",
    )
    far_future_hours: float = Field(
        24, ge=0, description="an event later than run_time by more than this is rejected; hours"
    )
    rows_per_part: int = Field(
        2_000_000,
        ge=1,
        description="events are sorted in parts by user of about this many; some 1 GiB a million",
    )

    @model_validator(mode="after")
    def _aliases_name_our_types(self) -> Self:
        unknown = sorted(set(self.event_type_aliases.values()) - set(c.EVENT_TYPES))
        if unknown:
            msg = f"event_type_aliases lead to {unknown}; ours are {', '.join(c.EVENT_TYPES)}"
            raise ValueError(msg)
        return self

    @property
    def source(self) -> ShopOptions:
        """How the tables of ``shop`` are written."""
        return self.shops[self.shop] if self.shop in self.shops else ShopOptions()

    def where(self, option: str) -> str:
        """The full name of an option of this shop, for messages."""
        return f"ingestion.shops.{self.shop}.{option}"
