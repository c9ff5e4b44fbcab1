"""Seasons of a shop: days of the year that come back, such as the weeks before Christmas.

Days are UTC, as all times of the project.
"""

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import AfterValidator, Field

from recsys_kedro.options import Options

PREFIX: Final = "season_"
ANY_LEAP_YEAR: Final = 2000
ONE_DAY = timedelta(days=1)


def _month_day(text: str) -> str:
    if not re.fullmatch(r"\d\d-\d\d", text):
        msg = f"'{text}' is no day of the year; write month-day, such as '12-24'"
        raise ValueError(msg)
    month, day = (int(part) for part in text.split("-"))
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(ANY_LEAP_YEAR, month)[1]:
        msg = f"'{text}' is no day of any year; month-day, such as '12-24'"
        raise ValueError(msg)
    return text


MonthDay = Annotated[str, AfterValidator(_month_day)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Season(Options):
    """From ``first`` to ``last``, both included, every year."""

    first: MonthDay = Field(description="month-day; 02-29 is the first of March in other years")
    last: MonthDay = Field(
        description="month-day, before `first` where the season ends in the next year"
    )

    def contains(self, day: date) -> bool:
        """Whether the day, or the UTC day of a time, lies in the season."""
        place = f"{_utc_date(day):%m-%d}"
        if self.first <= self.last:
            return self.first <= place <= self.last
        return place >= self.first or place <= self.last

    def last_before(self, time: datetime) -> tuple[datetime, datetime]:
        """The latest occurrence that is over at ``time``: its start, and its end (exclusive)."""
        for year in range(time.year, time.year - 3, -1):
            start, end = self._beginning_in(year)
            if end <= time:
                return start, end
        raise AssertionError  # a season is over within two years of its start

    def _beginning_in(self, year: int) -> tuple[datetime, datetime]:
        until = year + (self.last < self.first)
        return _midnight(_day_of(year, self.first)), _midnight(_after(until, self.last))


class WeightedSeason(Season):
    """A season whose training lists count more."""

    weight: int = Field(
        2, ge=1, description="times that its lists are learned from, where others are once"
    )


class SeasonsOptions(Options):
    """The seasons of a shop, and when a model of its own answers in one."""

    named: dict[Name, Season] = Field(
        default_factory=dict,
        description="seasons by name; on a day that lies in several the first one counts",
    )
    weight: int = Field(
        2, ge=1, description="times that lists of the season are learned from; others once"
    )
    margin: float = Field(
        0.005, ge=0, description="how far mean NDCG@10 may fall below the served recipe's"
    )
    resamples: int = Field(1000, ge=100, description="bootstrap resamples of the users")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")

    def on(self, time: datetime) -> str | None:
        """The name of the season that a time lies in; None: in none."""
        return next((name for name, season in self.named.items() if season.contains(time)), None)

    @classmethod
    def read(cls, text: str, origin: str) -> Self:
        """The ``seasons`` of a parameters file.

        Args:
            text: YAML.
            origin: where it is from, for messages.

        Raises:
            ValueError: if it is not YAML with such a block.
        """
        try:
            found: Any = yaml.safe_load(text)
            block = (found or {}).get("seasons") or {}
            return cls.model_validate(block)
        except (yaml.YAMLError, AttributeError, ValueError) as error:
            msg = f"{origin}: the seasons cannot be read: {error}"
            raise ValueError(msg) from error


def alias_of(season: str) -> str:
    """The alias of the registered model that answers in a season."""
    return f"{PREFIX}{season}"


def _utc_date(day: date) -> date:
    return day.astimezone(UTC).date() if isinstance(day, datetime) else day


def _day_of(year: int, place: str) -> date:
    """The day, or the next one where the year has no such day."""
    month, day = (int(part) for part in place.split("-"))
    missing = day - calendar.monthrange(year, month)[1]
    return date(year, month, day) if missing <= 0 else date(year, month + 1, missing)


def _after(year: int, place: str) -> date:
    """The day after the last one."""
    found = _day_of(year, place)
    return found + ONE_DAY if f"{found:%m-%d}" == place else found


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
