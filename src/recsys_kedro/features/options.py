"""Parameters of the features and of the encoders."""

from pydantic import Field

from recsys_kedro.features.holidays import SHOPPING_HOLIDAYS, Holiday
from recsys_kedro.options import Options


class FeatureOptions(Options):
    """What the feature tables look back on."""

    lookback_days: int = Field(30, ge=1, description="window of the user features, days")
    never_days: int = Field(
        999, ge=1, description="days since the last visit or purchase where there is none; also cap"
    )
    snapshot_every_days: int = Field(7, ge=1, description="grid of the product snapshots, days")
    snapshots: int | None = Field(
        None, ge=1, description="product snapshots of the grid, the latest; empty: all of it"
    )


class EncoderOptions(Options):
    """How features become arrays."""

    min_count: int = Field(
        2, ge=1, description="a category, brand or segment in fewer rows is encoded as unknown"
    )
    text_buckets: int = Field(4096, ge=1, description="hash buckets of the words in product names")
    show_holidays: bool = Field(
        default=False, description="how near they are, once the requests cover a year"
    )
    holidays: dict[str, Holiday] = Field(
        default_factory=lambda: dict(SHOPPING_HOLIDAYS), description="by name, if they are shown"
    )
