"""How the report writes figures: in the unit of their metric, with a true minus sign."""

from collections.abc import Callable
from typing import Final

from recsys_kedro.experiments.results import Figure
from recsys_kedro.experiments.unit_metrics import Measure

UNKNOWN: Final = "n/a"
MINUS: Final = "\N{MINUS SIGN}"
UNITS: Final[dict[Measure, str]] = {
    "share": "percentage points",
    "money": "shop's currency",
    "minutes": "minutes",
    "pages": "pages",
    "ms": "ms",
}
"""Of a difference."""


def value_in_words(value: float | None, measure: Measure) -> str:
    """``4.21%`` of a share, ``12.30`` of anything else."""
    if value is None:
        return UNKNOWN
    return f"{value:.2%}" if measure == "share" else f"{value:,.2f}"


def difference_in_words(value: float | None, measure: Measure) -> str:
    """With its sign; ``+0.40 pp``, percentage points, of a share."""
    if value is None:
        return UNKNOWN
    return _signed(f"{100 * value:+.2f} pp" if measure == "share" else f"{value:+,.2f}")


def change_in_words(value: float | None) -> str:
    """A relative change: ``+3.2%``."""
    return UNKNOWN if value is None else _signed(f"{value:+.1%}")


def money_in_words(value: float | None) -> str:
    """Whole pieces of the shop's currency, with the sign."""
    return UNKNOWN if value is None else _signed(f"{value:+,.0f}")


def interval_in_words(figure: Figure, write: Callable[[float | None], str]) -> str:
    """``low to high``; an interval without bounds says nothing."""
    if figure.low is None or figure.high is None:
        return "not known yet"
    return f"{write(figure.low)} to {write(figure.high)}"


def _signed(text: str) -> str:
    """A true minus sign, and none where the figure rounds to 0."""
    rounds_to_none = not set(text) & set("123456789")
    return text.lstrip("+-") if rounds_to_none else text.replace("-", MINUS)
