"""Whether the model is given in serving what the tables say: train-serve skew.

Each sampled answer has logged its history and profile. The history is made again from the events
strictly before the time of the answer, and compared event by event; the profile is compared with
the table of user features, whose functions training and serving share.
"""

from datetime import datetime
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from recsys_kedro import columns as c
from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.drift import PROFILE, profiles_of
from recsys_kedro.monitoring.figures import Figure
from recsys_kedro.monitoring.ratios import ONE, ratio
from recsys_kedro.serving.snapshot import MOST_STORED_EVENTS, remembered

SAME, PRICE, MISSING, LATE, UNEXPECTED = "same", "price", "missing", "late", "unexpected"
TOLERANCE: Final = 1e-6  # relative; engines add in any order
_ANSWER: Final = (c.RECOMMENDATION_ID, c.USER_ID)
_EVENT: Final = [c.RECOMMENDATION_ID, c.PRODUCT_ID, c.EVENT_TYPE, c.EVENT_TIME, "copy"]
_ALIKE: Final = [c.RECOMMENDATION_ID, c.PRODUCT_ID, c.EVENT_TYPE]


class SkewExample(BaseModel):
    """One answer whose input differs from the tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    figure: str
    what: str
    recommendation_id: str
    user_id: str
    served: str
    expected: str


def compared_histories(
    served_inputs: pl.DataFrame, events: pl.DataFrame, model_data: datetime
) -> pl.DataFrame:
    """Every event that an answer's model saw, or should have seen, with its ``difference``.

    One row per answer and event: ``recommendation_id, user_id, product_id, event_type,
    event_time, served, expected, difference``; the two in the middle are prices.

    - ``same``; ``price``: seen, with another price.
    - ``missing``: not seen, although it saw something newer, or, where it saw nothing, although
      the event is older than ``model_data``.
    - ``late``: newer than all that it saw. It had not reached the store yet.
    - ``unexpected``: seen, and in no table. So many of the newest as came with the request are
      left out; one of the same product and type in the table is that event, and not missing.

    The store keeps a part of a long history (:func:`.snapshot.remembered`): what it drops is not
    missing, and what it keeps longer is not unexpected.

    Args:
        served_inputs: any of the log.
        events: the event table.
        model_data: UTC, what the model's tables are as of.
    """
    logged = _logged(served_inputs)
    past = _past(served_inputs, events)
    both = logged.join(past, on=_EVENT, how="full", coalesce=True)
    seen, known = pl.col("seen").is_not_null(), pl.col("kept").is_not_null()
    apart = (pl.col(m.SERVED) - pl.col(m.EXPECTED)).abs() > TOLERANCE * pl.col(m.EXPECTED).abs()
    other_price = apart.fill_null(pl.col(m.SERVED).ne_missing(pl.col(m.EXPECTED)))
    matched = both.filter(seen & known).with_columns(
        pl.when(other_price).then(pl.lit(PRICE)).otherwise(pl.lit(SAME)).alias(m.DIFFERENCE)
    )
    unexpected = _unexpected(both.filter(seen & ~known), served_inputs)
    sent = both.filter(seen & ~known).join(
        served_inputs.filter(pl.col(c.SENT) > 0), on=c.RECOMMENDATION_ID, how="semi"
    )
    unseen = both.filter(~seen & pl.col("kept")).join(sent, on=_ALIKE, how="anti")
    parts = (matched, _unseen(unseen, matched, model_data), unexpected)
    columns = [*_EVENT[:-1], m.SERVED, m.EXPECTED, m.DIFFERENCE]
    whose = served_inputs.select(_ANSWER)
    return pl.concat(part.select(columns) for part in parts).join(whose, on=c.RECOMMENDATION_ID)


def _logged(served_inputs: pl.DataFrame) -> pl.DataFrame:
    """The logged events, one row each."""
    lists = (c.PRODUCT_ID, c.EVENT_TYPE, c.EVENT_TIME, c.PRICE)
    return (
        served_inputs.select(c.RECOMMENDATION_ID, *lists)
        .filter(pl.col(c.PRODUCT_ID).list.len() > 0)
        .explode(lists)
        .rename({c.PRICE: m.SERVED})
        .with_columns(_copy(), pl.lit(value=True).alias("seen"))
    )


def _past(served_inputs: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The events before each answer, and whether the store would have kept them."""
    past = (
        served_inputs.lazy()
        .select(*_ANSWER, c.AS_OF)
        .join(events.lazy(), on=c.USER_ID)
        .filter(pl.col(c.TIMESTAMP) < pl.col(c.AS_OF))
        .sort(c.RECOMMENDATION_ID, c.TIMESTAMP, c.SOURCE_ROW)
        .select(
            c.RECOMMENDATION_ID,
            c.PRODUCT_ID,
            c.EVENT_TYPE,
            pl.col(c.TIMESTAMP).alias(c.EVENT_TIME),
            pl.col(c.PRICE).alias(m.EXPECTED),
        )
        .with_row_index("place")
        .collect()
    )
    kept = remembered(past.rename({c.RECOMMENDATION_ID: c.USER_ID}), MOST_STORED_EVENTS)
    return past.with_columns(_copy(), pl.col("place").is_in(kept["place"].implode()).alias("kept"))


def _copy() -> pl.Expr:
    """Equal events of an answer are told apart by a number."""
    return pl.int_range(pl.len()).over(_EVENT[:-1]).alias("copy")


def _unexpected(unmatched: pl.DataFrame, served_inputs: pl.DataFrame) -> pl.DataFrame:
    newest_first = pl.col(c.EVENT_TIME).rank("ordinal", descending=True).over(c.RECOMMENDATION_ID)
    sent = served_inputs.select(c.RECOMMENDATION_ID, c.SENT)
    return (
        unmatched.join(sent, on=c.RECOMMENDATION_ID)
        .filter(newest_first > pl.col(c.SENT))
        .with_columns(pl.lit(UNEXPECTED).alias(m.DIFFERENCE))
    )


def _unseen(unseen: pl.DataFrame, matched: pl.DataFrame, model_data: datetime) -> pl.DataFrame:
    newest = matched.group_by(c.RECOMMENDATION_ID).agg(pl.col(c.EVENT_TIME).max().alias("newest"))
    time = pl.col(c.EVENT_TIME)
    is_late = (time > pl.col("newest")).fill_null(time >= model_data)
    return unseen.join(newest, on=c.RECOMMENDATION_ID, how="left").with_columns(
        pl.when(is_late).then(pl.lit(LATE)).otherwise(pl.lit(MISSING)).alias(m.DIFFERENCE)
    )


def history_figures(served_inputs: pl.DataFrame, compared: pl.DataFrame) -> list[Figure]:
    """How far a window's histories match the tables.

    Args:
        served_inputs: of the window.
        compared: from :func:`compared_histories`, also of other answers.
    """
    kind = pl.col(m.DIFFERENCE)
    ours = compared.join(served_inputs, on=c.RECOMMENDATION_ID, how="semi")
    wrong = ours.filter(kind.is_in([PRICE, MISSING, UNEXPECTED]))
    answers = served_inputs.select(
        *_ANSWER,
        ~pl.col(c.RECOMMENDATION_ID).is_in(wrong[c.RECOMMENDATION_ID].implode()).alias(SAME),
    )
    expected, seen = kind != UNEXPECTED, ~kind.is_in([MISSING, LATE])
    return [
        ratio("matching_history_share", answers, pl.col(SAME)),
        ratio("missing_event_share", ours, kind == MISSING, expected),
        ratio("late_event_share", ours, kind == LATE, expected),
        ratio("unexpected_event_share", ours, kind == UNEXPECTED, seen),
        ratio("price_difference_share", ours, kind == PRICE, seen & expected),
    ]


def compared_profiles(served_inputs: pl.DataFrame, user_features: pl.DataFrame) -> pl.DataFrame:
    """Every feature of every answer's profile beside that of the table.

    One row per answer and feature: ``recommendation_id, user_id, feature, served, expected``
    as text, and whether they are a ``difference``. A user that the table does not have has empty
    features.
    """
    names = [field.name for field in PROFILE.fields]
    served = served_inputs.select(_ANSWER).hstack(profiles_of(served_inputs))
    both = served.join(
        user_features.rename({name: f"{m.EXPECTED}.{name}" for name in names}),
        on=c.USER_ID,
        how="left",
    )
    return pl.concat(
        both.select(
            *_ANSWER,
            pl.lit(name).alias(m.FEATURE),
            pl.col(name).cast(pl.String).alias(m.SERVED),
            pl.col(f"{m.EXPECTED}.{name}").cast(pl.String).alias(m.EXPECTED),
            _differs(name, served[name].dtype).alias(m.DIFFERENCE),
        )
        for name in names
    )


def _differs(name: str, dtype: pl.DataType) -> pl.Expr:
    served, expected = pl.col(name), pl.col(f"{m.EXPECTED}.{name}")
    if dtype.is_float():
        apart = (served - expected).abs() > TOLERANCE * pl.max_horizontal(1.0, expected.abs())
        return apart.fill_null(served.is_null() != expected.is_null())
    return served.ne_missing(expected)


def profile_figures(served_inputs: pl.DataFrame, compared: pl.DataFrame) -> list[Figure]:
    """Share of a window's answers with any other user feature, and feature by feature."""
    ours = compared.join(served_inputs, on=c.RECOMMENDATION_ID, how="semi")
    answers = ours.group_by(_ANSWER).agg(pl.col(m.DIFFERENCE).any())
    name = "feature_difference_share"
    return [
        ratio(name, answers, pl.col(m.DIFFERENCE)),
        *(
            ratio(name, rows, pl.col(m.DIFFERENCE), ONE, f"{m.FEATURE}={feature}")
            for (feature,), rows in ours.partition_by(
                m.FEATURE, as_dict=True, maintain_order=True
            ).items()
        ),
    ]


def worst_examples(histories: pl.DataFrame, profiles: pl.DataFrame) -> list[SkewExample]:
    """For each kind of difference the first answer that has it; of features that of the worst."""
    examples = [
        _history_example(kind, figure, histories)
        for kind, figure in (
            (MISSING, "missing_event_share"),
            (LATE, "late_event_share"),
            (UNEXPECTED, "unexpected_event_share"),
            (PRICE, "price_difference_share"),
        )
    ]
    return [each for each in (*examples, _profile_example(profiles)) if each is not None]


def _history_example(kind: str, figure: str, histories: pl.DataFrame) -> SkewExample | None:
    found = histories.filter(pl.col(m.DIFFERENCE) == kind).sort(c.RECOMMENDATION_ID, c.EVENT_TIME)
    if found.is_empty():
        return None
    row = found.row(0, named=True)
    what = f"{row[c.EVENT_TYPE]} of {row[c.PRODUCT_ID]} at {row[c.EVENT_TIME]:%Y-%m-%d %H:%M:%S}"
    gone = "no such event"
    return SkewExample(
        figure=figure,
        what=what,
        recommendation_id=row[c.RECOMMENDATION_ID],
        user_id=row[c.USER_ID],
        served=gone if kind in (MISSING, LATE) else f"price {row[m.SERVED]}",
        expected=gone if kind == UNEXPECTED else f"price {row[m.EXPECTED]}",
    )


def _profile_example(profiles: pl.DataFrame) -> SkewExample | None:
    wrong = profiles.filter(m.DIFFERENCE)
    if wrong.is_empty():
        return None
    counts = wrong[m.FEATURE].value_counts().sort(["count", m.FEATURE], descending=[True, False])
    worst = wrong.filter(pl.col(m.FEATURE) == counts[m.FEATURE][0]).sort(c.RECOMMENDATION_ID)
    row = worst.row(0, named=True)
    return SkewExample(
        figure="feature_difference_share",
        what=row[m.FEATURE],
        recommendation_id=row[c.RECOMMENDATION_ID],
        user_id=row[c.USER_ID],
        served=_shown(row[m.SERVED]),
        expected=_shown(row[m.EXPECTED]),
    )


def _shown(value: str | None) -> str:
    return "empty" if value is None else value
