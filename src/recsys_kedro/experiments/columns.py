"""The column names of the experiments' own tables, once. ``c`` has those of the log."""

from typing import Final

# Attributed impressions.
CLICKED: Final = "clicked"
CARTED: Final = "carted"
PURCHASED: Final = "purchased"
REVENUE: Final = "revenue"

# Units: who takes part.
FIRST_EXPOSURE: Final = "first_exposure"
FIRST_DAY: Final = "first_day"
DAY: Final = "day"
AGE: Final = "age"

# Totals per unit.
IMPRESSIONS: Final = "impressions"
CLICKS: Final = "clicks"
RECOMMENDED_REVENUE: Final = "recommended_revenue"
ANSWERS: Final = "answers"
FALLBACK_ANSWERS: Final = "fallback_answers"
FAILED_ANSWERS: Final = "failed_answers"
SLOW_ANSWERS: Final = "slow_answers"
LATENCY: Final = "latency"
SESSIONS: Final = "sessions"
SESSION_MINUTES: Final = "session_minutes"
PAGES: Final = "pages"
CART_SESSIONS: Final = "cart_sessions"
ABANDONED_SESSIONS: Final = "abandoned_sessions"
ORDERS: Final = "orders"
BUYERS: Final = "buyers"
PURCHASES: Final = "purchases"
RETURNS: Final = "returns"
TOTALS: Final = frozenset(
    {
        IMPRESSIONS,
        CLICKS,
        RECOMMENDED_REVENUE,
        ANSWERS,
        LATENCY,
        SLOW_ANSWERS,
        FALLBACK_ANSWERS,
        FAILED_ANSWERS,
        SESSIONS,
        SESSION_MINUTES,
        PAGES,
        CART_SESSIONS,
        ABANDONED_SESSIONS,
        ORDERS,
        BUYERS,
        REVENUE,
        PURCHASES,
        RETURNS,
    }
)
SHOWN_SHARE: Final = "shown_share"

# Sufficient statistics and effects.
METRIC: Final = "metric"
UNITS: Final = "units"
PRE: Final = "pre_"
