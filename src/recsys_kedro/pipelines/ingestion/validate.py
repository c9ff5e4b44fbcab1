"""Which rows are refused, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.normalise import AS_READ, JUDGED
from recsys_kedro.pipelines.ingestion.options import IngestionOptions

ROW = "row"
CODE = "code"


@dataclass(frozen=True)
class Fault:
    """One reason to refuse a row.

    Attributes:
        code: short and stable; what the report counts under.
        column: the column at fault.
        explanation: what is wrong with its value.
        holds: true where a normalised row has the fault.
    """

    code: str
    column: str
    explanation: str
    holds: pl.Expr

    @property
    def reason(self) -> pl.Expr:
        """``<code>: <column> '<value>' <explanation>``, the value only where there is one."""
        if self.column in JUDGED:
            value = pl.format("'{}' ", pl.col(self.column + AS_READ)).fill_null("")
        else:
            value = pl.lit("")
        return pl.concat_str(
            pl.lit(f"{self.code}: {self.column} "), value, pl.lit(self.explanation)
        )


def faults(options: IngestionOptions, run_time: datetime | None) -> list[Fault]:
    """All faults, in the order in which a row is judged."""
    kind, time, price, quantity = (pl.col(name) for name in JUDGED)
    read_price, read_quantity = (pl.col(name + AS_READ) for name in (c.PRICE, c.QUANTITY))
    found = [
        Fault("malformed_json", "line", "is not a JSON object", pl.col(c.MALFORMED).is_not_null()),
        Fault("no_user", c.USER_ID, "is empty", pl.col(c.USER_ID).is_null()),
        Fault("no_product", c.PRODUCT_ID, "is empty", pl.col(c.PRODUCT_ID).is_null()),
        Fault("unknown_event_type", c.EVENT_TYPE, "is no known event type", kind.is_null()),
        Fault("not_a_time", c.TIMESTAMP, "is not a time", time.is_null()),
        Fault("price_not_a_number", c.PRICE, "is not a number",
              read_price.is_not_null() & price.is_null()),
        Fault("negative_price", c.PRICE, "is below zero", price < 0),
        Fault("quantity_not_a_number", c.QUANTITY, "is not a number",
              read_quantity.is_not_null() & quantity.is_null()),
        Fault("negative_quantity", c.QUANTITY, "is below zero", quantity < 0),
    ]  # fmt: skip
    if run_time is not None:
        latest = run_time + timedelta(hours=options.far_future_hours)
        explanation = f"is in the far future: after {latest:%Y-%m-%d %H:%M} UTC"
        found.append(Fault("far_future", c.TIMESTAMP, explanation, time > latest))
    return found


def rejection_reasons(
    normalised: pl.DataFrame, options: IngestionOptions, run_time: datetime | None
) -> pl.Series:
    """(N,) why each row is refused; empty: it is good."""
    reason = pl.coalesce(
        pl.when(fault.holds).then(fault.reason) for fault in faults(options, run_time)
    )
    return normalised.select(reason.alias(c.REASON)).to_series()


def rejected_rows(raw: pl.DataFrame, source_rows: pl.Series, reasons: pl.Series) -> pl.DataFrame:
    """``source_row, reason, row`` of the rows that have a reason; ``row`` is JSON.

    Args:
        raw: the source, N rows.
        source_rows: (N,) their positions.
        reasons: (N,) why each is refused; empty: it is not.
    """
    refused = reasons.is_not_null()
    rows = raw.filter(refused).drop(c.SOURCE_ROW, strict=False)
    as_json = pl.struct(pl.exclude(c.MALFORMED)).struct.json_encode()
    if c.MALFORMED in rows.columns:
        text = pl.struct(c.MALFORMED).struct.json_encode()
        as_json = pl.when(pl.col(c.MALFORMED).is_null()).then(as_json).otherwise(text)
    return pl.DataFrame({c.SOURCE_ROW: source_rows.filter(refused)}).with_columns(
        reasons.filter(refused).alias(c.REASON), rows.select(as_json.alias(ROW)).to_series()
    )


@dataclass(frozen=True)
class Refused:
    """What was refused under one code.

    Attributes:
        code: see :class:`Fault`.
        rows: how many rows.
        source_row: the first of them.
        reason: why that one was.
    """

    code: str
    rows: int
    source_row: int
    reason: str

    @property
    def finding(self) -> str:
        """``column 'price' has 2 bad values (first: row 7, price '-1' is below zero)``."""
        text = self.reason.removeprefix(f"{self.code}: ")
        column = text.split(" ", 1)[0]
        return (
            f"column '{column}' has {self.rows:,} bad values (first: row {self.source_row}, {text})"
        )


def refused_in(rejected: pl.DataFrame) -> list[Refused]:
    """What refused rows, see :func:`rejected_rows`, have in common: one entry per code."""
    code = pl.col(c.REASON).str.split(": ").list.first().alias(CODE)
    by_code = rejected.sort(c.SOURCE_ROW).group_by(code, maintain_order=True)
    return [Refused(*row) for row in by_code.agg(pl.len(), pl.all().exclude(ROW).first()).rows()]


def refused_by_code(refused: Iterable[Refused]) -> tuple[Refused, ...]:
    """One entry per code, the most frequent first, from those of several tables of rows."""
    merged: dict[str, Refused] = {}
    for each in sorted(refused, key=lambda each: each.source_row):
        known = merged.get(each.code)
        merged[each.code] = replace(known, rows=known.rows + each.rows) if known else each
    return tuple(sorted(merged.values(), key=lambda each: (-each.rows, each.code)))


def check_rejected_share(refused: Sequence[Refused], rows: int, options: IngestionOptions) -> None:
    """Refuse to go on with a source that is largely bad.

    Args:
        refused: one entry per code.
        rows: rows read and not excluded.
        options: holds the limit.

    Raises:
        ValueError: too large a share is refused; names for each code the column, the count
            and the first row.
    """
    share = sum(each.rows for each in refused) / max(rows, 1)
    if share <= options.max_rejected_share:
        return
    msg = (
        f"events: {'; '.join(each.finding for each in refused)}. That is {share:.2%} of {rows:,} "
        f"rows, above {options.max_rejected_share:.2%}. Rows kept in rejected_events; correct the "
        f"source, or raise the limit with ingestion.max_rejected_share."
    )
    raise ValueError(msg)


def as_utc(run_time: str | None) -> datetime | None:
    """The time of the run; one without a zone is UTC.

    Raises:
        ValueError: it is not ISO 8601.
    """
    if run_time is None:
        return None
    try:
        time = datetime.fromisoformat(run_time)
    except ValueError as error:
        msg = f"run_time: '{run_time}' is not an ISO 8601 time such as 2025-10-19T10:30:00Z"
        raise ValueError(msg) from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
