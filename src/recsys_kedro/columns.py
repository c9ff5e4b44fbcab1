"""Every column name of the project, once.

``*_ID`` are the shop's own string ids; ``*_INDEX`` are contiguous integers that a
vocabulary gives them. All times are UTC with microseconds.
"""

from enum import IntEnum
from typing import Final

# Events: one row per thing a user did.
EVENT_ID: Final = "event_id"
EVENT_TYPE: Final = "event_type"
USER_ID: Final = "user_id"
PRODUCT_ID: Final = "product_id"
TIMESTAMP: Final = "timestamp"
SESSION_ID: Final = "session_id"
DEVICE_TYPE: Final = "device_type"
SEARCH_QUERY: Final = "search_query"
QUANTITY: Final = "quantity"
RECOMMENDATION_ID: Final = "recommendation_id"
SOURCE_ROW: Final = "source_row"
REASON: Final = "reason"
MALFORMED: Final = "malformed_json"

# Products.
NAME: Final = "name"
CATEGORY: Final = "category"
SUBCATEGORY: Final = "subcategory"
BRAND: Final = "brand"
PRICE: Final = "price"
STOCK_QUANTITY: Final = "stock_quantity"
FEATURES: Final = "features"
CREATED_AT: Final = "created_at"
UPDATED_AT: Final = "updated_at"

# Users.
DEMOGRAPHICS: Final = "demographics"
PREFERENCES: Final = "preferences"
LIFETIME_VALUE: Final = "lifetime_value"
SEGMENT: Final = "segment"

# Queries, recommendations and their evaluation.
QUERY: Final = "query"
AS_OF: Final = "as_of"
LIVE: Final = "live"
RANK: Final = "rank"
SCORE: Final = "score"
SOURCE: Final = "source"
PROPENSITY: Final = "propensity"
TASK: Final = "task"
MODEL: Final = "model"
LABEL: Final = "label"


class EventType(IntEnum):
    """The kinds of events. Tables hold the name in lower case, arrays hold the number."""

    PRODUCT_VIEW = 0
    CLICK = 1
    ADD_TO_CART = 2
    PURCHASE = 3
    RETURN = 4

    @property
    def label(self) -> str:
        """The name as it stands in tables, e.g. ``add_to_cart``."""
        return self.name.lower()


EVENT_TYPES: Final[tuple[str, ...]] = tuple(kind.label for kind in EventType)
PRODUCT_VIEW: Final = EventType.PRODUCT_VIEW.label
CLICK: Final = EventType.CLICK.label
ADD_TO_CART: Final = EventType.ADD_TO_CART.label
PURCHASE: Final = EventType.PURCHASE.label
RETURN: Final = EventType.RETURN.label

TASK_ALL: Final = "all"
TASK_NEW: Final = "new"
TASKS: Final = (TASK_ALL, TASK_NEW)

# Impressions: what a server has shown.
POSITION: Final = "position"
MODEL_VERSION: Final = "model_version"
VARIANTS: Final = "variants"
EXPERIMENT: Final = "experiment"  # of one entry of the variants
VARIANT: Final = "variant"
FALLBACK: Final = "fallback"
FROM_CACHE: Final = "from_cache"
LATENCY_MS: Final = "latency_ms"
HISTORY_LENGTH: Final = "history_length"

# Served inputs: what the model was given for an answer.
EVENT_TIME: Final = "event_time"
SENT: Final = "sent"
PROFILE: Final = "profile"
