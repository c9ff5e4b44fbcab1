"""The gate: may a model take the champion's place?

It compares recipes (a model and its settings) fitted on the same data up to the same cut, on
the validation window. The test window plays no part.
"""

from collections.abc import Iterable
from typing import Any

import polars as pl
from pydantic import Field

from recsys_kedro import columns as c
from recsys_kedro.fitting import CHOSEN_AT, SCORE, Choice, figures_of
from recsys_kedro.metrics.intervals import Interval, paired_interval
from recsys_kedro.metrics.lists import ndcg_by_user
from recsys_kedro.options import Options

HYBRID = "hybrid"
NOT_OF_THE_RECIPE = ("checkpoint_folder", "device", "processes", "stop_after", "weights_folder")


class Recipe(Options):
    """A model's name and settings; ``model`` is empty where there is no champion yet."""

    model: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)

    def same_as(self, other: "Recipe") -> bool:
        """The same model and settings; where it was trained and for how long is not part."""
        return self.model == other.model and _essence(self.settings) == _essence(other.settings)


class Promotion(Options):
    """What the gate decided, and why."""

    promote: bool
    recipe: Recipe
    champion: Recipe
    reasons: list[str] = Field(description="in words, for people")
    figures: dict[str, dict[str, float]] = Field(description="validation figures by model")
    against_champion: tuple[float, float, float] | None = Field(
        description="difference of mean NDCG@10 to the champion's recipe, and its interval"
    )


def _essence(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _essence(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in NOT_OF_THE_RECIPE
    }


def recipe_of(choice: Choice) -> Recipe:
    """What was chosen, as a recipe."""
    return Recipe(model=choice.model, settings=choice.settings)


def best_choice(choices: Iterable[Choice]) -> Choice:
    """The choice with the best mean NDCG@10 of both tasks; the first of equals."""
    return max(choices, key=lambda choice: choice.figures[SCORE])


def mean_of_tasks_by_user(truth: pl.DataFrame, recommendations: pl.DataFrame) -> pl.DataFrame:
    """``user_id, value``: the mean over users of ``value`` is the mean of both tasks' NDCG@10.

    A user who is in one task only still carries that task's share.
    """
    by_user = ndcg_by_user(truth, recommendations, CHOSEN_AT)
    users = truth[c.USER_ID].n_unique()
    weighted = pl.col("ndcg") * users / pl.len().over(c.TASK) / len(c.TASKS)
    return (
        by_user.with_columns(weighted.alias("value"))
        .group_by(c.USER_ID)
        .agg(pl.col("value").sum())
        .sort(c.USER_ID)
    )


def decide(
    choices: list[Choice],
    recommendations: dict[str, pl.DataFrame],
    champion: Recipe,
    champion_recommendations: pl.DataFrame | None,
    truth: pl.DataFrame,
    margin: float,
    resamples: int,
    confidence: float,
    seed: int,
) -> Promotion:
    """Decide whether the best model of validation may be served.

    The candidate is the best of all, baselines included, so it is never below the best of them.

    - Without a champion it may.
    - The champion's own recipe, refreshed, passes on non-inferiority: the lower end of the
      interval of its difference may not lie below ``-margin``.
    - A new recipe needs a paired interval above zero.

    Args:
        choices: one per model, all chosen on the same window.
        recommendations: validation lists by model.
        champion: the recipe that is served now.
        champion_recommendations: its validation lists, fitted on the same data; None without
            a champion.
        truth: of the users who had any event before the window.
        margin: how far NDCG@10 of a refresh may fall.
        resamples: bootstrap resamples.
        confidence: of the interval.
        seed: of the bootstrap.
    """
    best = best_choice(choices)
    candidate = recipe_of(best)
    figures = {choice.model: choice.figures for choice in choices}
    reasons = [_ranking_in_words(best, choices)]
    interval = None
    promote = True
    if champion_recommendations is None:
        reasons.append("There is no champion yet, so nothing can be lost.")
    else:
        figures["champion"] = figures_of(truth, champion_recommendations)
        mine = mean_of_tasks_by_user(truth, recommendations[best.model])
        theirs = mean_of_tasks_by_user(truth, champion_recommendations)
        difference = (mine["value"] - theirs["value"]).to_numpy()
        interval = paired_interval(difference, seed, resamples, confidence)
        promote, reason = _against_champion(candidate, champion, interval, margin)
        reasons.append(reason)
    return Promotion(
        promote=promote,
        recipe=candidate,
        champion=champion,
        reasons=reasons,
        figures=figures,
        against_champion=None if interval is None else tuple(interval),
    )


def _ranking_in_words(best: Choice, choices: list[Choice]) -> str:
    others = [choice for choice in choices if choice.model != best.model]
    text = f"{best.model} is best on validation (mean NDCG@10 {best.figures[SCORE]:.4f}"
    if others:
        second = best_choice(others)
        text += f"; next {second.model}, {second.figures[SCORE]:.4f}"
    text += ")."
    if best.model != HYBRID and HYBRID in {choice.model for choice in others}:
        text += f" The {HYBRID} is not above it, so a baseline is the candidate."
    return text


def _against_champion(
    candidate: Recipe, champion: Recipe, interval: Interval, margin: float
) -> tuple[bool, str]:
    told = f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"
    if candidate.same_as(champion):
        passed = interval.low >= -margin
        rule = f"a refresh of the champion's recipe may lose at most {margin}"
    else:
        passed = interval.low > 0
        rule = f"a new recipe in place of {champion.model} needs an interval above zero"
    return passed, f"Difference to the champion {told}: {rule}; {'passed' if passed else 'failed'}."
