"""User features the slow way: one pandas pass for each user. The reference and the peer.

It says what the features mean in the plainest code; tests compare the package with it, and
the benchmark measures how much faster the package is.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

HOURS_OF_NOBODY = -1


def create_user_features(
    user_events: pd.DataFrame,
    product_categories: Mapping[str, str | None],
    product_prices: Mapping[str, float | None],
    profile: Mapping[str, Any],
    as_of: datetime,
    lookback_days: int = 30,
    never_days: int = 999,
) -> dict[str, Any]:
    """The features of one user from that user's events and row of the users table."""
    past = user_events[user_events["timestamp"] < as_of]
    recent = past[past["timestamp"] >= as_of - timedelta(days=lookback_days)]
    visits = recent[recent["event_type"] != "return"]
    features: dict[str, Any] = {
        **_engagement(recent),
        **_top_categories(visits, product_categories),
        **_prices(visits, product_prices),
        **_habits(visits),
        **_sessions(visits),
    }
    visited = past[past["event_type"] != "return"]["timestamp"]
    days = (as_of - visited.max()).days if len(visited) else never_days
    features["days_since_last_visit"] = min(days, never_days)
    features.update(_profile(profile, past, as_of))
    return features


def _engagement(recent: pd.DataFrame) -> dict[str, Any]:
    views = len(recent[recent["event_type"] == "product_view"])
    clicks = len(recent[recent["event_type"] == "click"])
    purchases = len(recent[recent["event_type"] == "purchase"])
    return {
        "total_views": views,
        "total_clicks": clicks,
        "total_add_to_cart": len(recent[recent["event_type"] == "add_to_cart"]),
        "total_purchases": purchases,
        "total_returns": len(recent[recent["event_type"] == "return"]),
        "click_through_rate": clicks / max(views, 1),
        "purchase_rate": purchases / max(clicks, 1),
    }


def _top_categories(
    visits: pd.DataFrame, product_categories: Mapping[str, str | None]
) -> dict[str, Any]:
    category = visits["category"].fillna(visits["product_id"].map(product_categories))
    counts = sorted(category.dropna().value_counts().items(), key=lambda item: (-item[1], item[0]))
    counts += [(None, 0)] * 5
    features: dict[str, Any] = {}
    for place, (name, count) in enumerate(counts[:5], start=1):
        features[f"top_category_{place}"] = name
        features[f"top_category_{place}_count"] = count
    return features


def _prices(visits: pd.DataFrame, product_prices: Mapping[str, float | None]) -> dict[str, Any]:
    bought = visits[visits["event_type"] == "purchase"]
    prices = bought["price"].fillna(bought["product_id"].map(product_prices)).dropna()
    return {
        "has_purchase_price": len(prices) > 0,
        "avg_purchase_price": prices.mean() if len(prices) else 0.0,
        "median_purchase_price": prices.median() if len(prices) else 0.0,
        "price_std": prices.std() if len(prices) > 1 else 0.0,
    }


def _habits(visits: pd.DataFrame) -> dict[str, Any]:
    if visits.empty:
        return {
            "peak_hour": HOURS_OF_NOBODY,
            "hour_concentration": 0.0,
            "peak_day": HOURS_OF_NOBODY,
        }
    # Sorted by hour before the largest is taken, so that ties go to the earliest.
    hours = visits["timestamp"].dt.hour.value_counts(normalize=True).sort_index()
    weekdays = visits["timestamp"].dt.day_of_week.value_counts(normalize=True).sort_index()
    return {
        "peak_hour": hours.idxmax(),
        "hour_concentration": hours.max(),
        "peak_day": weekdays.idxmax(),
    }


def _sessions(visits: pd.DataFrame) -> dict[str, Any]:
    if visits.empty:
        return {"avg_session_length": 0.0, "avg_products_per_session": 0.0}
    sessions = visits.groupby("session_id")
    return {
        "avg_session_length": sessions.size().mean(),
        "avg_products_per_session": sessions["product_id"].nunique().mean(),
    }


def _profile(profile: Mapping[str, Any], past: pd.DataFrame, as_of: datetime) -> dict[str, Any]:
    first_event = past["timestamp"].min() if len(past) else as_of
    created = profile.get("created_at")
    created = first_event if created is None else created
    segment = profile.get("segment")
    value = profile.get("lifetime_value")
    return {
        "user_segment": "unknown" if segment is None else segment,
        "lifetime_value": 0.0 if value is None else value,
        "account_age_days": max((as_of - created).days, 0),
    }
