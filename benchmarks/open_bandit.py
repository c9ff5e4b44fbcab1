"""Thompson sampling's click rate on Open Bandit, from the random policy's log alone.

The two policies ran side by side on the same shop, so the estimate can be held against Thompson
sampling's own log. That log has propensities only for what was shown, so the policy has to be
put together from them, as a table of item by position; how far that is from what was shown is
part of the figures:

- ``mean``: mean propensity per item and position, made to sum to 1 per position. An item is
  shown more often when its propensity is high, so the mean of what was shown is too high, and
  most so for items whose propensity changed a lot.
- ``harmonic``: the harmonic mean, which is nearly free of that: over the times when an item is
  shown, the mean of 1 / propensity is 1 / (its mean propensity over the times when it had any).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from recsys_kedro.experiments.off_policy import (
    LoggedChoices,
    OffPolicyOptions,
    PolicyValue,
    inverse_propensity,
)

CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
SEED = 0
Figures = dict[str, float | int | str]
Estimates = Callable[..., dict[str, PolicyValue]]
PROPENSITY = pl.col("propensity_score")
TABLES = {"mean": PROPENSITY.mean(), "harmonic": pl.len() / (1 / PROPENSITY).sum()}


def figures(folder: Path, estimates: Estimates) -> Figures:
    """Estimates per campaign; rates per 1,000 impressions."""
    found: Figures = {"data": "Open Bandit, small release", "unit": "clicks per 1,000 impressions"}
    for campaign in CAMPAIGNS:
        random, thompson = (
            pl.read_parquet(folder / f"{policy}_{campaign}.parquet") for policy in ("random", "bts")
        )
        items = 1 + max(random["item_id"].max(), thompson["item_id"].max())
        found[f"{campaign}_clicks_random"] = int(random["click"].sum())
        found[f"{campaign}_clicks_thompson"] = int(thompson["click"].sum())
        found[f"{campaign}_random_logged"] = in_words(own_rate(random))
        found[f"{campaign}_thompson_logged"] = in_words(own_rate(thompson))
        for name in TABLES:
            found |= of_table(f"{campaign}_{name}", random, thompson, items, name, estimates)
    return found


def of_table(
    key: str,
    random: pl.DataFrame,
    thompson: pl.DataFrame,
    items: int,
    name: str,
    estimates: Estimates,
) -> Figures:
    """The estimates with one way to put the policy together, and its error."""
    raw_SA = table(thompson, TABLES[name], items)
    target_SA = raw_SA / raw_SA.sum(axis=1, keepdims=True)
    shown_SA = table(thompson, pl.len().cast(pl.Float64), items)
    shown_SA /= shown_SA.sum(axis=1, keepdims=True)
    apart = 0.5 * np.abs(target_SA - shown_SA).sum(axis=1)
    log, position, item = choices(random, target_SA)
    options, rng = OffPolicyOptions(), np.random.default_rng(SEED)
    found: Figures = {
        f"{key}_policy_sums_before_scaling": " ".join(f"{s:.2f}" for s in raw_SA.sum(axis=1)),
        f"{key}_policy_to_shown_total_variation": " ".join(f"{a:.3f}" for a in apart),
        f"{key}_total_variation_by_chance_alone": " ".join(
            f"{a:.3f}" for a in chance_variation(target_SA, thompson, rng)
        ),
    }
    truth = own_rate(thompson)
    for estimator, value in estimates(log, position, item, target_SA, options, rng).items():
        found[f"{key}_{estimator}"] = in_words(value)
        apart_in_errors = (value.value - truth.value) / np.hypot(value.error, truth.error)
        found[f"{key}_{estimator}_minus_logged_in_errors"] = round(apart_in_errors, 2)
    value = inverse_propensity(log, options)
    found[f"{key}_effective_impressions"] = round(value.effective_sample)
    found[f"{key}_effective_clicks"] = round(value.effective_rewards, 1)
    found[f"{key}_doubts"] = "; ".join(value.doubts) or "none"
    return found


def table(log: pl.DataFrame, of_cell: pl.Expr, items: int) -> np.ndarray:
    """(positions, items) of a figure; 0 for what was never shown there."""
    cells = log.group_by("position", "item_id").agg(value=of_cell)
    values_SA = np.zeros((POSITIONS, items))
    values_SA[cells["position"] - 1, cells["item_id"]] = cells["value"]
    return values_SA


def chance_variation(
    policy_SA: np.ndarray, log: pl.DataFrame, rng: np.random.Generator
) -> list[float]:
    """Mean total variation between a policy and what so many draws from it show."""
    shown = [int((log["position"] == place + 1).sum()) for place in range(POSITIONS)]
    drawn = [rng.multinomial(n, p, 200) / n for n, p in zip(shown, policy_SA, strict=True)]
    pairs = zip(drawn, policy_SA, strict=True)
    return [float(0.5 * np.abs(shares - policy).sum(axis=1).mean()) for shares, policy in pairs]


def choices(log: pl.DataFrame, target_SA: np.ndarray) -> tuple[LoggedChoices, ...]:
    position, item = (log["position"] - 1).to_numpy(), log["item_id"].to_numpy()
    reward, propensity = (
        log[name].cast(pl.Float64).to_numpy() for name in ("click", "propensity_score")
    )
    return LoggedChoices(reward, propensity, target_SA[position, item]), position, item


def own_rate(log: pl.DataFrame) -> PolicyValue:
    """What a policy's own log says of it."""
    reward = log["click"].cast(pl.Float64).to_numpy()
    certain = np.ones(len(reward))
    return inverse_propensity(LoggedChoices(reward, certain, certain), OffPolicyOptions())


def in_words(value: PolicyValue) -> str:
    rate, low, high = (1_000 * part for part in (value.value, value.low, value.high))
    return f"{rate:.2f} ({low:.2f} to {high:.2f})"
