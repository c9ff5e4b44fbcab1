"""The column names of the monitoring's own tables, once. ``c`` has those of the log."""

from typing import Final

# The figures.
WINDOW_START: Final = "window_start"
WINDOW_END: Final = "window_end"
GROUP: Final = "group"
FIGURE: Final = "figure"
SLICE: Final = "slice"
VALUE: Final = "value"
LOW: Final = "low"
HIGH: Final = "high"
N: Final = "n"
ALL: Final = "all"

# Answers: one row each.
SCORE_SPREAD: Final = "score_spread"

# Differences between what was served and what the tables say.
DIFFERENCE: Final = "difference"
SERVED: Final = "served"
EXPECTED: Final = "expected"
FEATURE: Final = "feature"
