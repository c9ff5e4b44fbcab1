"""Is a recipe better in a season if it learns more from that season? Judged on the last one.

Everything before that season is learned from, once as the served recipe does it and once with
the snapshots of the season a year earlier beside the latest ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from pydantic import AwareDatetime, Field

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import (
    figures_of,
    fit_model,
    queries_at,
    recommend_tasks,
    started_users,
    training_data,
)
from recsys_kedro.metrics.intervals import Interval, paired_interval
from recsys_kedro.models.base import TrainingData
from recsys_kedro.models.hybrid import Hybrid, HybridOptions
from recsys_kedro.options import Options
from recsys_kedro.promotion import Recipe, mean_of_tasks_by_user
from recsys_kedro.seasons import Season, SeasonsOptions, WeightedSeason, alias_of
from recsys_kedro.splits import TimeSplit, window_truth
from recsys_kedro.training_lists import SamplingOptions, build_training_lists
from recsys_kedro.training_requests import latest_times

SERVED, WEIGHTED = "served", "weighted"


class SeasonVerdict(Options):
    """Whether a season gets a model of its own, and why."""

    season: str
    alias: str
    passed: bool
    reason: str = Field(description="in words, for people")
    recipe: Recipe = Field(description="the served one with the season's weight")
    judged_from: AwareDatetime | None = Field(None, description="cut of the backtest")
    judged_until: AwareDatetime | None = Field(None, description="not part of the window")
    users: int = Field(0, description="who took something in the window and had a past")
    figures: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="of the window, by recipe: served, weighted"
    )
    difference: tuple[float, float, float] | None = Field(
        None, description="of mean NDCG@10, weighted minus served, and its interval"
    )


class SeasonReport(Options):
    """The verdicts of all declared seasons."""

    served: Recipe = Field(description="of the champion")
    seasons: list[SeasonVerdict]


@dataclass(frozen=True)
class LearnedFrom:
    """What all fits of the seasons share.

    Attributes:
        events, products, users, product_snapshots: the shop's tables.
        split: the horizon, what counts as taken, and ``as_of``.
        sampling, features: how lists and profiles are made.
        seed: of samples and fits.
    """

    events: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    product_snapshots: pl.DataFrame
    split: TimeSplit
    sampling: SamplingOptions
    features: FeatureOptions
    seed: int

    @property
    def times(self) -> list[datetime]:
        """The times of the product snapshots, ascending."""
        return self.product_snapshots[f.SNAPSHOT_TIME].unique().sort().to_list()

    def data(self, cut: datetime, season: Season, recipe: HybridOptions) -> TrainingData:
        """Everything before ``cut``, with lists of the season and as many others as the recipe has.

        Without those the served recipe, too, would go back to the season's for its lists.
        """
        split = self.split.model_copy(update={"as_of": cut})
        amount = {"snapshots": recipe.snapshots, "lists": recipe.lists}
        sampling = self.sampling.model_copy(update=amount)
        finished = [time for time in self.times if time + split.horizon <= cut]
        latest = latest_times(finished, self.events, split, sampling)
        wanted = list_times(self.times, cut, season, split.horizon, len(latest))
        lists = build_training_lists(
            self.events.sort(c.USER_ID, c.TIMESTAMP, c.SOURCE_ROW),
            self.products,
            self.users,
            self.product_snapshots.filter(pl.col(f.SNAPSHOT_TIME).is_in(wanted)),
            split,
            self.sampling,
            self.features,
            self.seed,
        )
        tables = (self.events, self.products, self.users, self.product_snapshots)
        return training_data(*tables, lists, split, cut)


def list_times(
    times: Sequence[datetime], cut: datetime, season: Season, horizon: timedelta, snapshots: int
) -> list[datetime]:
    """The snapshots that a fit as of ``cut`` learns from.

    Args:
        times: of all snapshots, ascending; the first weeks of a log have no past to learn from,
            so those of a season begin a horizon after the first.
        cut: UTC.
        season: all of its snapshots are taken, of any year.
        horizon: of the labels.
        snapshots: and the latest so many whose labels end by ``cut``.
    """
    before = [time for time in times if time < cut]
    finished = [time for time in before if time + horizon <= cut]
    since = finished[-snapshots:][:1] or before[:1]
    return [
        time
        for time in before
        if time >= since[0] or (season.contains(time) and time >= times[0] + horizon)
    ]


def weighted_recipe(served: Recipe, season: Season, weight: int) -> Recipe:
    """The served recipe with the season's lists beside its own.

    It begins with fresh weights and leaves none: those of a season are not for other fits.
    """
    weighted = WeightedSeason(first=season.first, last=season.last, weight=weight)
    options = HybridOptions.model_validate(served.settings)
    training = options.training.model_copy(update={"weights_folder": None})
    options = options.model_copy(update={"season": weighted, "training": training})
    return Recipe(model=served.model, settings=options.model_dump(mode="json"))


def judge_season(
    name: str, data: LearnedFrom, served: Recipe, options: SeasonsOptions
) -> SeasonVerdict:
    """Judge a season on its last occurrence that is over, with what lies before it.

    Users who took something in the first ``horizon_days`` of it are asked as of its first
    snapshot. The season passes if the lower end of the interval of the difference does not lie
    below ``-margin``.
    """
    season = options.named[name]
    if served.model != Hybrid.name:
        reason = f"The served recipe is {served.model}, which learns from no lists to weigh."
        return SeasonVerdict(
            season=name, alias=alias_of(name), passed=False, reason=reason, recipe=served
        )
    verdict = SeasonVerdict(
        season=name,
        alias=alias_of(name),
        passed=False,
        reason="",
        recipe=weighted_recipe(served, season, options.weight),
    )
    start, end = season.last_before(data.split.as_of)
    cut = next((time for time in data.times if start <= time < end), None)
    earlier = [] if cut is None else _earlier(data, cut, start, season)
    if cut is None or not earlier:
        reason = _why_not(data, start, end, cut)
        return verdict.model_copy(update={"reason": reason})
    return _judged(verdict, data, served, options, cut, min(end, cut + data.split.horizon))


def _earlier(data: LearnedFrom, cut: datetime, start: datetime, season: Season) -> list[datetime]:
    """Snapshots of earlier occurrences that can be learned from."""
    taken = list_times(data.times, cut, season, data.split.horizon, 1)
    over = start - data.split.horizon
    return [time for time in taken if season.contains(time) and time < over]


def _why_not(data: LearnedFrom, start: datetime, end: datetime, cut: datetime | None) -> str:
    last = end - timedelta(days=1)
    told = f"It cannot be judged on its last occurrence, {start:%Y-%m-%d} to {last:%Y-%m-%d}: "
    if cut is None:
        return told + "no product snapshot lies in it."
    return told + (
        f"there are no lists of the season before that. They would need events from "
        f"{data.split.horizon_days} days before it; snapshots begin on {data.times[0]:%Y-%m-%d}."
    )


def _judged(
    verdict: SeasonVerdict,
    learned_from: LearnedFrom,
    served: Recipe,
    options: SeasonsOptions,
    cut: datetime,
    until: datetime,
) -> SeasonVerdict:
    """Fit both recipes before the season and compare their lists for its first weeks."""
    season, split, seed = options.named[verdict.season], learned_from.split, learned_from.seed
    weighted = HybridOptions.model_validate(verdict.recipe.settings)
    data = learned_from.data(cut, season, weighted)
    truth = window_truth(learned_from.events, cut, until, split)
    truth = started_users(truth, learned_from.events, cut)
    tables = (learned_from.events, learned_from.products, learned_from.users)
    queries = queries_at(truth, *tables, cut, learned_from.features)
    recipes = {
        SERVED: weighted.model_copy(update={"season": None}),
        WEIGHTED: weighted,
    }
    lists = {
        name: recommend_tasks(fit_model(served.model, settings.model_dump(), data, seed), queries)
        for name, settings in recipes.items()
    }
    values = {name: mean_of_tasks_by_user(truth, found) for name, found in lists.items()}
    difference = (values[WEIGHTED]["value"] - values[SERVED]["value"]).to_numpy()
    interval = paired_interval(difference, seed, options.resamples, options.confidence)
    passed = interval.low >= -options.margin
    return verdict.model_copy(
        update={
            "passed": passed,
            "reason": _in_words(interval, options.margin, passed=passed),
            "judged_from": cut,
            "judged_until": until,
            "users": queries.requests.height,
            "figures": {name: figures_of(truth, found) for name, found in lists.items()},
            "difference": tuple(interval),
        }
    )


def _in_words(interval: Interval, margin: float, *, passed: bool) -> str:
    told = f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"
    return (
        f"Difference to the served recipe {told}: in its season a model may lose at most "
        f"{margin}; {'passed' if passed else 'failed'}."
    )
