"""Which impressions led to clicks, carts and purchases: from the log alone.

An event that carries the id of the answer belongs to that answer's impression of the product.
For the others the rule decides; only impressions of the same product to the same user count.
"""

from datetime import timedelta
from typing import Final, Literal

import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.experiments import columns as e
from recsys_kedro.options import Options

_IMPRESSION: Final = [c.RECOMMENDATION_ID, c.PRODUCT_ID]
_CREDITED: Final = (c.CLICK, c.ADD_TO_CART, c.PURCHASE)
_SHOWN_AT: Final = "shown_at"


class AttributionOptions(Options):
    """How events without the id of an answer are credited."""

    rule: Literal["window", "last_touch", "same_session"] = Field(
        "last_touch",
        description=(
            "window: to every impression before it, so that a purchase can count several times; "
            "last_touch: to the latest one; same_session: to the latest one of the session"
        ),
    )
    window_hours: float = Field(
        24 * 7, gt=0, description="an impression that is older has no part in the event, hours"
    )


def attribute(
    impressions: pl.LazyFrame, events: pl.LazyFrame, options: AttributionOptions
) -> pl.LazyFrame:
    """The impressions with what followed: ``clicked, carted, purchased, revenue``.

    One row per impression, as given; an answer shows a product once. Revenue is price times
    quantity of the credited purchases, in the shop's currency; a purchase without a price
    adds nothing, so fill prices first.
    """
    done = events.filter(pl.col(c.EVENT_TYPE).is_in(_CREDITED)).select(
        c.USER_ID,
        c.PRODUCT_ID,
        c.TIMESTAMP,
        c.SESSION_ID,
        c.RECOMMENDATION_ID,
        c.EVENT_TYPE,
        revenue_of_purchases().alias(e.REVENUE),
    )
    told = done.filter(pl.col(c.RECOMMENDATION_ID).is_not_null())
    untold = done.filter(pl.col(c.RECOMMENDATION_ID).is_null()).drop(c.RECOMMENDATION_ID)
    shown = impressions.select(*_IMPRESSION, c.USER_ID, c.TIMESTAMP, c.SESSION_ID)
    credit = {"window": _every, "last_touch": _latest, "same_session": _latest_of_session}
    ruled = credit[options.rule](shown, untold, timedelta(hours=options.window_hours))
    what = [*_IMPRESSION, c.EVENT_TYPE, e.REVENUE]
    followed = (
        pl.concat([told.select(what), ruled.select(what)])
        .group_by(_IMPRESSION)
        .agg(
            (pl.col(c.EVENT_TYPE) == c.CLICK).any().alias(e.CLICKED),
            (pl.col(c.EVENT_TYPE) == c.ADD_TO_CART).any().alias(e.CARTED),
            (pl.col(c.EVENT_TYPE) == c.PURCHASE).any().alias(e.PURCHASED),
            pl.col(e.REVENUE).sum(),
        )
    )
    return impressions.join(followed, on=_IMPRESSION, how="left").with_columns(
        pl.col(e.CLICKED, e.CARTED, e.PURCHASED).fill_null(value=False),
        pl.col(e.REVENUE).fill_null(0.0),
    )


def attributed_answers(impressions: pl.LazyFrame) -> pl.LazyFrame:
    """One row per answer, from attributed impressions: did anything of it follow, and revenue."""
    return impressions.group_by(c.RECOMMENDATION_ID).agg(
        pl.col(e.CLICKED, e.CARTED, e.PURCHASED).any(), pl.col(e.REVENUE).sum()
    )


def revenue_of_purchases() -> pl.Expr:
    """Price times quantity of a purchase, 0 of other events, 0 where the price is unknown."""
    paid = (pl.col(c.PRICE) * pl.col(c.QUANTITY)).fill_null(0.0)
    return pl.when(pl.col(c.EVENT_TYPE) == c.PURCHASE).then(paid).otherwise(0.0)


def _every(shown: pl.LazyFrame, done: pl.LazyFrame, window: timedelta) -> pl.LazyFrame:
    pairs = done.join(
        shown.select(*_IMPRESSION, c.USER_ID, pl.col(c.TIMESTAMP).alias(_SHOWN_AT)),
        on=[c.USER_ID, c.PRODUCT_ID],
    )
    passed = pl.col(c.TIMESTAMP) - pl.col(_SHOWN_AT)
    return pairs.filter(passed.is_between(timedelta(0), window))


def _latest(
    shown: pl.LazyFrame,
    done: pl.LazyFrame,
    window: timedelta,
    same: tuple[str, ...] = (c.USER_ID, c.PRODUCT_ID),
) -> pl.LazyFrame:
    acted_on = shown.join(done.select(same), on=same, how="semi")  # few, so the sort is small
    return done.sort(c.TIMESTAMP).join_asof(
        acted_on.sort(c.TIMESTAMP, c.RECOMMENDATION_ID),
        on=c.TIMESTAMP,
        by=same,
        strategy="backward",
        tolerance=window,
        check_sortedness=False,  # it cannot see through the groups; both are sorted above
    )


def _latest_of_session(shown: pl.LazyFrame, done: pl.LazyFrame, window: timedelta) -> pl.LazyFrame:
    known = pl.col(c.SESSION_ID).is_not_null()
    same = (c.USER_ID, c.PRODUCT_ID, c.SESSION_ID)
    return _latest(shown.filter(known), done.filter(known), window, same)
