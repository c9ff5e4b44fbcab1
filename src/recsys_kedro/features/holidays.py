"""Shopping holidays: when they are, and how near they are to a day.

B days, H holidays. A holiday is near before it and after it in different ways, so each has two
numbers: exp(-days until the next / 14) and exp(-days since the last / 14).
"""

import calendar
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal, Self

import numpy as np
from dateutil.easter import easter
from numpy.typing import NDArray
from pydantic import Field, model_validator

from recsys_kedro.options import Options
from recsys_kedro.seasons import MonthDay

FADING_DAYS: Final = 14.0
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Holiday(Options):
    """A day of every year: of a ``day``, a weekday of a month, or so many days from Easter."""

    day: MonthDay | None = Field(
        None, description="month-day, such as 12-25; 02-29 is the 28th in other years"
    )
    month: int | None = Field(None, ge=1, le=12, description="with weekday and nth")
    weekday: Weekday | None = Field(None, description="with month and nth")
    nth: int | None = Field(
        None, description="which of these weekdays of the month: 1 to 4, or -1, the last"
    )
    easter: int | None = Field(
        None, ge=-80, le=250, description="days after Easter Sunday; negative: before it"
    )
    days_later: int = Field(0, ge=-31, le=31, description="days from there to the holiday")

    @model_validator(mode="after")
    def _is_one_day(self) -> Self:
        by_weekday = (self.month, self.weekday, self.nth)
        some = any(part is not None for part in by_weekday)
        if [self.day is not None, some, self.easter is not None].count(True) != 1:
            msg = "a holiday has either day, or month with weekday and nth, or easter"
            raise ValueError(msg)
        if some and None in by_weekday:
            msg = "a holiday on a weekday needs all of month, weekday and nth"
            raise ValueError(msg)
        if self.nth is not None and self.nth not in (1, 2, 3, 4, -1):
            msg = f"nth is {self.nth}; it is 1 to 4, or -1 for the last of the month"
            raise ValueError(msg)
        return self

    def in_year(self, year: int) -> date:
        """The day of the holiday in a year."""
        return self._anchor(year) + timedelta(days=self.days_later)

    def _anchor(self, year: int) -> date:
        if self.easter is not None:
            sunday: date = easter(year)
            return sunday + timedelta(days=self.easter)
        if self.day is not None:
            month, day = (int(part) for part in self.day.split("-"))
            return date(year, month, min(day, calendar.monthrange(year, month)[1]))
        assert self.month is not None  # the validator has seen to it
        assert self.weekday is not None
        assert self.nth is not None
        first, length = calendar.monthrange(year, self.month)
        days = range(1 + (WEEKDAYS.index(self.weekday) - first) % 7, length + 1, 7)
        return date(year, self.month, days[self.nth - (self.nth > 0)])


SHOPPING_HOLIDAYS: Final[Mapping[str, Holiday]] = {
    "valentines_day": Holiday(day="02-14"),
    "mothering_sunday": Holiday(easter=-21),
    "easter": Holiday(easter=0),
    "halloween": Holiday(day="10-31"),
    "black_friday": Holiday(month=11, weekday="thursday", nth=4, days_later=1),
    "christmas": Holiday(day="12-25"),
}


def holiday_nearness(
    days: NDArray[np.int64], holidays: Mapping[str, Holiday]
) -> NDArray[np.float64]:
    """(B, 2H) how near the next and the last of each holiday is; 1 on its day.

    Args:
        days: (B,) whole days since 1970-01-01, UTC.
        holidays: by name; their order is that of the columns.
    """
    if not holidays or len(days) == 0:
        return np.zeros((len(days), 2 * len(holidays)))
    years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    first, last = int(years.min()) - 1, int(years.max()) + 1
    columns = []
    for holiday in holidays.values():
        dates = _days_of(holiday, first, last)
        place = np.searchsorted(dates, days)
        columns.append(dates[place] - days)
        columns.append(days - dates[place - (dates[place] > days)])
    return np.exp(-np.stack(columns, axis=1) / FADING_DAYS)


@lru_cache(maxsize=256)
def _days_of(holiday: Holiday, first: int, last: int) -> NDArray[np.int64]:
    """The days of a holiday in the years ``first`` to ``last``, since 1970-01-01."""
    dates = [holiday.in_year(year) for year in range(first, last + 1)]
    return np.array(dates, "datetime64[D]").astype(np.int64)
