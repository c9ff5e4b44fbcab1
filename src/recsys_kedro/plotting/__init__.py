"""One style for all charts and tables; the modules are named for what they draw.

Colours are those of Okabe and Ito, darkened where grey prints need it: told apart by the
colour-blind, and never the only thing that tells two lines apart. Every axis names its unit.
"""

from typing import Any, Final

import matplotlib.pyplot as plt
import polars as pl

INK, SOFT, FAINT = "#1c2733", "#66717d", "#dfe3e8"
BLUE, ORANGE, GREEN, PURPLE, GOLD = "#0072B2", "#D55E00", "#009E73", "#A0568A", "#B37700"
LONGEST_CELL: Final = 200
MOST_ROWS: Final = 40
STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": SOFT,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "date.converter": "concise",
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


def use_style() -> None:
    """Give all charts and printed tables of this process the project's style."""
    plt.rcParams.update(STYLE)
    pl.Config.set_tbl_hide_dataframe_shape(True)
    pl.Config.set_tbl_hide_column_data_types(True)
    pl.Config.set_fmt_str_lengths(LONGEST_CELL)
    pl.Config.set_tbl_rows(MOST_ROWS)
