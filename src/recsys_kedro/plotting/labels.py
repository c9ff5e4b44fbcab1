"""How charts name things: numbers, lines, long names."""

from datetime import datetime
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.0f}")


def name_line(axes: Axes, x: float | datetime, y: float, name: str, colour: str) -> None:
    """Write the name of a line beside its point (x, y)."""
    axes.annotate(
        name, (x, y), xytext=(6, 0), textcoords="offset points", color=colour, va="center"
    )


def words(name: str) -> str:
    """A column's name for people."""
    return name.replace("_", " ")


def shortened(name: str, most: int = 42) -> str:
    """At most so many characters."""
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def number(amount: float) -> str:
    """With thousands separated; one decimal where it is not whole."""
    return f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.1f}"
