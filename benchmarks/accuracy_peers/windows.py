"""Which weeks choose and which judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsys_kedro.features.snapshots import snapshot_times
from recsys_kedro.splits import TimeSplit


@dataclass(frozen=True)
class Window:
    """Models are fitted on what lies before ``cut`` and judged on ``[cut, end)``. UTC."""

    cut: datetime
    end: datetime

    @property
    def name(self) -> str:
        """The cut, as a folder's name."""
        return f"{self.cut:%Y-%m-%dT%H%M%S}"


@dataclass(frozen=True)
class Protocol:
    """One window chooses the settings, the later ones judge.

    Attributes:
        name: ``validation``, ``test`` or ``folds``.
        choice: its end is at or before the first cut that is judged.
        judged: ascending, without overlap.
    """

    name: str
    choice: Window
    judged: tuple[Window, ...]

    @property
    def windows(self) -> tuple[Window, ...]:
        return self.choice, *self.judged

    @property
    def end(self) -> datetime:
        """Nothing from here on is read."""
        return self.judged[-1].end


def one_window(split: TimeSplit, *, test: bool) -> Protocol:
    """The global time split, one horizon earlier than the pipeline's unless ``test``.

    Judged is the validation window, chosen is on the horizon before it; with ``test`` judged is
    the test window, chosen is on the validation window.
    """
    validation = Window(split.validation_start, split.test_start)
    if test:
        return Protocol("test", validation, (Window(split.test_start, split.end),))
    before = Window(split.validation_start - split.horizon, split.validation_start)
    return Protocol("validation", before, (validation,))


def weekly_folds(split: TimeSplit, folds: int, days: int) -> Protocol:
    """``folds`` windows of ``days`` one after the other, the last ends at the validation window.

    Chosen is once for all of them, on the horizon before the first.
    """
    step = timedelta(days=days)
    cuts = [split.validation_start - number * step for number in range(folds, 0, -1)]
    judged = tuple(Window(cut, cut + step) for cut in cuts)
    return Protocol("folds", Window(cuts[0] - split.horizon, cuts[0]), judged)


def grids(
    cuts: Sequence[datetime], every_days: int, first: datetime
) -> list[tuple[list[datetime], list[datetime]]]:
    """Cuts that lie whole steps apart, with the snapshots from ``first`` to the last of them.

    Such cuts share their snapshots, so their training lists are built once. All ascending.
    """
    step = timedelta(days=every_days)
    by_offset: dict[timedelta, list[datetime]] = {}
    for cut in sorted(cuts):
        by_offset.setdefault((cut - min(cuts)) % step, []).append(cut)
    return [
        (of_grid, snapshot_times(first, of_grid[-1], of_grid[-1], every_days))
        for of_grid in by_offset.values()
    ]
