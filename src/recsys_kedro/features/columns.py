"""The names of the feature columns, once."""

from typing import Final

SNAPSHOT_TIME: Final = "snapshot_time"

# Users.
TOTAL_VIEWS: Final = "total_views"
TOTAL_CLICKS: Final = "total_clicks"
TOTAL_ADD_TO_CART: Final = "total_add_to_cart"
TOTAL_PURCHASES: Final = "total_purchases"
TOTAL_RETURNS: Final = "total_returns"
CLICK_THROUGH_RATE: Final = "click_through_rate"
PURCHASE_RATE: Final = "purchase_rate"
TOP_CATEGORIES: Final = tuple(f"top_category_{rank}" for rank in range(1, 6))
TOP_CATEGORY_COUNTS: Final = tuple(f"{name}_count" for name in TOP_CATEGORIES)
AVG_PURCHASE_PRICE: Final = "avg_purchase_price"
MEDIAN_PURCHASE_PRICE: Final = "median_purchase_price"
PRICE_STD: Final = "price_std"
HAS_PURCHASE_PRICE: Final = "has_purchase_price"
PEAK_HOUR: Final = "peak_hour"
HOUR_CONCENTRATION: Final = "hour_concentration"
PEAK_DAY: Final = "peak_day"
AVG_SESSION_LENGTH: Final = "avg_session_length"
AVG_PRODUCTS_PER_SESSION: Final = "avg_products_per_session"
DAYS_SINCE_LAST_VISIT: Final = "days_since_last_visit"
USER_SEGMENT: Final = "user_segment"
ACCOUNT_AGE_DAYS: Final = "account_age_days"

# Products.
LOG_PRICE: Final = "log_price"
IN_STOCK: Final = "in_stock"
VIEWS_1D: Final = "views_1d"
VIEWS_7D: Final = "views_7d"
VIEWS_30D: Final = "views_30d"
PURCHASES_1D: Final = "purchases_1d"
PURCHASES_7D: Final = "purchases_7d"
PURCHASES_30D: Final = "purchases_30d"
PURCHASES_ALL_TIME: Final = "purchases_all_time"
RETURNS_30D: Final = "returns_30d"
CONVERSION_RATE: Final = "conversion_rate"
TRENDING_SCORE: Final = "trending_score"
REVENUE_30D: Final = "revenue_30d"
DAYS_SINCE_LAST_PURCHASE: Final = "days_since_last_purchase"
PRODUCT_AGE_DAYS: Final = "product_age_days"

NO_PEAK: Final = -1
NO_SEGMENT: Final = "unknown"
