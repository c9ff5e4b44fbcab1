"""The request and the answer, as types. Stable: other programs rely on them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from recsys_kedro.columns import PURCHASE

MOST_ITEMS = 1_000
MOST_EVENTS = 10_000
MOST_CHOICES = 50
YEARS = range(1970, 2200)


def _encodable(text: str) -> str:
    """JSON can spell half a character, which no table can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = "not valid Unicode text"
        raise ValueError(msg) from None
    return text


def _in_utc(time: datetime) -> datetime:
    """The time in UTC; a naive one is taken as UTC."""
    if time.year not in YEARS:
        msg = f"the year must be from {YEARS.start} to {YEARS.stop - 1}"
        raise ValueError(msg)
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


EventTypeName = Literal["product_view", "click", "add_to_cart", "purchase", "return"]
Text = Annotated[str, AfterValidator(_encodable)]
Time = Annotated[datetime, AfterValidator(_in_utc)]


class RequestAtTheEdge(BaseModel):
    """What the server accepts: anything with names.

    The server refuses a whole batch for one bad request, so the real check is
    :class:`RecommendationRequest`, request by request.
    """

    model_config = ConfigDict(extra="allow")

    user_id: Any = None
    events: Any = None
    context: Any = None
    k: Any = None
    filter_purchased: Any = None


class RecentEvent(BaseModel):
    """Something the user did that the stored history does not have yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_id: Text
    event_type: EventTypeName = "product_view"
    timestamp: Time | None = Field(None, description="UTC; empty: just before the request")
    price: float | None = Field(None, ge=0, allow_inf_nan=False)
    quantity: float = Field(1, ge=0, allow_inf_nan=False)


class RequestContext(BaseModel):
    """What is known of the request beyond the user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Time | None = Field(None, description="UTC; empty: now, see the guide to serving")
    device_type: Text | None = None
    session_id: Text | None = Field(None, description="the running session, for the log")
    category: Text | None = Field(None, description="category of the page or the search")
    product_id: Text | None = Field(None, description="product of the page; counts as a view")
    search_query: Text | None = None


class PriceLimits(BaseModel):
    """Prices of the products that may be shown, in the shop's currency, ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | None = Field(None, ge=0, allow_inf_nan=False)
    high: float | None = Field(None, ge=0, allow_inf_nan=False)


class OnboardingAnswer(BaseModel):
    """What a new user said to one question of the quiz: which of its products please."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Text
    liked: list[Text] = Field(default_factory=list, max_length=MOST_CHOICES)


class RecommendationRequest(BaseModel):
    """One request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Text = Field(min_length=1)
    events: list[RecentEvent] = Field(default_factory=list, max_length=MOST_EVENTS)
    context: RequestContext = RequestContext()
    k: int = Field(10, ge=1, le=MOST_ITEMS, description="how many products")
    filter_purchased: bool = Field(True, description=f"leave out what has a {PURCHASE}")
    exclude: list[Text] = Field(
        default_factory=list, max_length=MOST_ITEMS, description="product ids not to be shown"
    )
    category: Text | None = Field(None, description="only products of this category")
    price: PriceLimits = PriceLimits()
    diversity: float | None = Field(
        None, ge=0, le=1, description="0: by relevance alone; empty: as the shop has set it"
    )
    exploration: float | None = Field(
        None, ge=0, le=0.5, description="share of explored positions; empty: as the shop has set it"
    )
    onboarding: list[OnboardingAnswer] = Field(default_factory=list, max_length=MOST_CHOICES)


class RecommendedItem(BaseModel):
    """One product of the list."""

    product_id: str
    rank: int
    score: float
    propensity: float = Field(
        1.0, description="probability of this product here, given those above it"
    )
    source: str = Field(description="what proposed it")
    reason: str = Field(description="why, in words for the shopper")
    name: str | None
    category: str | None
    price: float | None


class RecommendationAnswer(BaseModel):
    """One answer; ``error`` is set and the list empty where the request was bad."""

    recommendation_id: str = ""
    user_id: str | None
    items: list[RecommendedItem] = Field(default_factory=list)
    model: str
    model_version: str
    variants: dict[str, str] = Field(
        default_factory=dict, description="of each A/B test that the user is in"
    )
    as_of: str | None = Field(None, description="the time that the answer is for, UTC")
    fallback: str | None = Field(None, description="which fallback answered, if one did")
    from_cache: bool = False
    latency_ms: float = Field(0.0, description="from the request's arrival to the answer")
    degraded: str | None = Field(
        None, description="why less was known of the user than is stored, if so"
    )
    onboarding: list[dict[str, Any]] | None = Field(
        None, description="questions for somebody of whom nothing is known, if the shop has a quiz"
    )
    removed: dict[str, int] = Field(
        default_factory=dict, description="candidates that each rule took out"
    )
    error: str | None = None
