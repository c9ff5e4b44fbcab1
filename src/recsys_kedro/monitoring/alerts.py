"""What of the latest window is alarming, and why, in words."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from recsys_kedro.monitoring import columns as m
from recsys_kedro.monitoring.figures import FIGURES, in_words
from recsys_kedro.monitoring.skew import SkewExample
from recsys_kedro.monitoring.thresholds import Bounds, Threshold
from recsys_kedro.monitoring.windows import Windows

SCHEMA_VERSION: Final = 1
MOST_IN_SUMMARY: Final = 3
_REFERENCE: Final = "reference"


class MonitoringAlert(RuntimeError):  # noqa: N818 (it is the alarm, not a fault of the program)
    """The latest window is alarming; raised when everything is written."""


class Status(StrEnum):
    """What a threshold says, worst first."""

    ALERT = "alert"
    WARNING = "warning"
    NOT_ENOUGH_DATA = "not enough data"
    FINE = "fine"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Finding(_Part):
    """One judged figure of the latest window."""

    group: str
    figure: str
    slice: str
    status: Status
    value: float | None
    low: float | None = Field(description="of the 95 % interval, if there is one")
    high: float | None
    n: int = Field(description="observations that it rests on")
    reference: float | None = Field(description="median over the windows of the reference")
    reason: str = Field(description="what it crosses or lacks, in words; empty: nothing")

    @property
    def subject(self) -> str:
        """The figure with its slice."""
        return self.figure if self.slice == m.ALL else f"{self.figure} of {self.slice}"

    @property
    def sentence(self) -> str:
        """The figure, its value and the reason."""
        stated = f"{self.subject} is {in_words(self.figure, self.value)}"
        return f"{stated}, {self.reason}" if self.reason else stated


class MonitoringAlerts(_Part):
    """The latest window, judged."""

    schema_version: int = SCHEMA_VERSION
    shop: str
    window_start: datetime
    window_end: datetime
    reference_start: datetime
    status: Status
    findings: list[Finding] = Field(description="worst first")
    examples: list[SkewExample] = Field(description="answers whose input was not the tables'")

    @property
    def alarming(self) -> list[Finding]:
        """The warnings and alerts, worst first."""
        return [each for each in self.findings if is_alarming(each.status)]

    @property
    def summary(self) -> str:
        """One line: how many figures of each status, and the worst of them."""
        counts = [f"{count} {status.value}" for status in Status if (count := self.count(status))]
        head = f"{self.shop}, until {self.window_end:%Y-%m-%d %H:%M} UTC"
        worst = [each.sentence for each in self.alarming[:MOST_IN_SUMMARY]]
        return "; ".join([f"{head}: {', '.join(counts) or 'no thresholds'}", *worst])

    def count(self, status: Status) -> int:
        """How many findings have the status."""
        return sum(each.status is status for each in self.findings)


def is_alarming(status: Status) -> bool:
    """Whether somebody should look."""
    return status in (Status.ALERT, Status.WARNING)


def worst_status(findings: Iterable[Finding]) -> Status:
    """The worst of all; fine where nothing is judged."""
    order = list(Status)
    return min((each.status for each in findings), key=order.index, default=Status.FINE)


def judge(
    figures: pl.DataFrame, windows: Windows, thresholds: Mapping[str, Threshold]
) -> list[Finding]:
    """Hold the latest window against the thresholds, worst first.

    A figure with the slice ``all`` is judged there, any other in each of its slices. A bound is
    crossed when value and interval are beyond it. It is not enough data when there are too few
    observations, when the interval reaches back over the bound, or when a reference is needed and
    there is none.

    Args:
        figures: ``MONITORING_FIGURES``.
        windows: which is the latest, and which are earlier.
        thresholds: by the name of the figure.
    """
    end = pl.col(m.WINDOW_END)
    earlier = figures.filter(end < windows.latest.end)
    medians = earlier.group_by(m.FIGURE, m.SLICE).agg(pl.col(m.VALUE).median().alias(_REFERENCE))
    latest = figures.filter(end == windows.latest.end)
    compared = latest.join(medians, on=[m.FIGURE, m.SLICE], how="left")
    findings = [
        _finding(measured, threshold)
        for name, threshold in thresholds.items()
        for measured in _measured(compared, name)
    ]
    order = list(Status)
    return sorted(findings, key=lambda each: order.index(each.status))


class _Measured(NamedTuple):
    figure: str
    slice: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reference: float | None = None


def _measured(compared: pl.DataFrame, name: str) -> list[_Measured]:
    rows = compared.filter(pl.col(m.FIGURE) == name)
    whole = rows.filter(pl.col(m.SLICE) == m.ALL)
    found = (rows if whole.is_empty() else whole).select(_Measured._fields)
    return [_Measured(*row) for row in found.iter_rows()] or [_Measured(name, m.ALL)]


def _finding(measured: _Measured, threshold: Threshold) -> Finding:
    status, reason = _verdict(measured, threshold)
    group = FIGURES[measured.figure].group
    return Finding(group=group, status=status, reason=reason, **measured._asdict())


def _verdict(measured: _Measured, threshold: Threshold) -> tuple[Status, str]:
    if measured.value is None or measured.n < threshold.minimum:
        reason = f"from {measured.n:,} observations, {threshold.minimum:,} are needed"
        return Status.NOT_ENOUGH_DATA, reason
    levels = [(Status.ALERT, threshold.alert), (Status.WARNING, threshold.warning)]
    crossings = [
        (status, *crossing)
        for status, bounds in levels
        if bounds is not None and (crossing := _crossing(measured, bounds)) is not None
    ]
    for status, text, is_clear in crossings:
        if is_clear:
            return status, text
    if crossings:
        low, high = (in_words(measured.figure, end) for end in (measured.low, measured.high))
        return Status.NOT_ENOUGH_DATA, f"{crossings[0][1]}, but it may be {low} to {high}"
    if measured.reference is None and any(bounds and bounds.relative for _, bounds in levels):
        return Status.NOT_ENOUGH_DATA, "without a reference to compare it with"
    return Status.FINE, ""


def _crossing(measured: _Measured, bounds: Bounds) -> tuple[str, bool] | None:
    """Which bound the value is beyond, in words, and whether its interval is so too."""
    value, low, high = measured.value, measured.low, measured.high
    lower, upper = (end(measured.reference) for end in (bounds.lower, bounds.upper))
    usual = in_words(measured.figure, measured.reference)
    compared = f" (reference {usual})" if bounds.relative else ""
    if value is not None and lower is not None and value < lower:
        bound = in_words(measured.figure, lower)
        return f"below {bound}{compared}", high is None or high < lower
    if value is not None and upper is not None and value > upper:
        bound = in_words(measured.figure, upper)
        return f"above {bound}{compared}", low is None or low > upper
    return None
