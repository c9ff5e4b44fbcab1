"""Whether the experiments' statistics keep their promises, on simulations with known truth.

Run: ``python benchmarks/experiments.py``. With ``--open-bandit FOLDER`` also on the small Open
Bandit release (Saito et al., 2020; zozo research, CC BY 4.0), whose two policies were run side
by side: ``random_*.parquet`` and ``bts_*.parquet`` with ``item_id, position, click,
propensity_score``.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_bandit
import report

from recsys_kedro.experiments.checks import BROKEN_BELOW, split_p_values
from recsys_kedro.experiments.delta_method import cuped_slope
from recsys_kedro.experiments.effects import Effect, compare, cuped_saving
from recsys_kedro.experiments.moments import Moments
from recsys_kedro.experiments.off_policy import (
    LoggedChoices,
    OffPolicyOptions,
    PolicyValue,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)
from recsys_kedro.experiments.power import Baseline, PowerOptions, baseline_of, units_needed
from recsys_kedro.experiments.reward_model import cross_fitted_means
from recsys_kedro.experiments.sequential import width_in_errors
from recsys_kedro.experiments.simulated_bandit import SimulatedBandit, simulate_bandit
from recsys_kedro.experiments.simulated_units import (
    CTR,
    REVENUE,
    SimulatedUnits,
    simulate_looks,
    simulate_units,
)

SEED = 0
USERS = 5_000
"""Of a variant; some 200 of them buy."""
LIFT = 0.1
MORE = 4
"""Times the replications for false alarms and coverage: of 1,000 the standard error is 0.7 %."""
DAYS = 28
LOOKED_AT_USERS = 10_000
BLOCK = 50
"""Experiments that are drawn at once; bounds the memory."""
HISTORY_USERS = 400_000
POWER = 0.8
SPLIT_UNITS = 50_000
LOST_SHARE = 0.05
METRICS: dict[str, tuple[Callable[[SimulatedUnits], Moments], float]] = {
    "ctr": (SimulatedUnits.ctr, CTR),
    "revenue_per_user": (SimulatedUnits.revenue_per_user, REVENUE),
}
Figures = dict[str, float | int | str]


def joined(parts: list[Moments]) -> Moments:
    """Blocks of experiments as one; the first axis is the experiments."""
    fields = ("count", "mean", "covariance")
    return Moments(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def draw(
    rng: np.random.Generator, replications: int, users: int, lift: float
) -> dict[str, Moments]:
    """The moments of one variant in many experiments, by metric."""
    parts: dict[str, list[Moments]] = {name: [] for name in METRICS}
    for start in range(0, replications, BLOCK):
        units = simulate_units(rng, min(BLOCK, replications - start), users, lift)
        for name, (of, _) in METRICS.items():
            parts[name].append(of(units))
    return {name: joined(blocks) for name, blocks in parts.items()}


def percent(hits: np.ndarray) -> float:
    return round(100 * float(np.mean(hits)), 2)


def comparisons(treatment: Moments, control: Moments) -> dict[str, Effect]:
    """Plain and with CUPED."""
    slope = cuped_slope(treatment, control)
    return {"": compare(treatment, control), "_cuped": compare(treatment, control, slope)}


def false_alarms_and_coverage(rng: np.random.Generator, replications: int) -> Figures:
    """A/A tests, and tests with a planted lift."""
    count = MORE * replications
    control, same, better = (draw(rng, count, USERS, lift) for lift in (0.0, 0.0, LIFT))
    figures: Figures = {"aa_and_coverage_replications": count}
    figures |= {"users_per_variant": USERS, "planted_lift_percent": 100 * LIFT}
    for metric, (_, base) in METRICS.items():
        pairs = comparisons(same[metric], control[metric])
        for name, effect in pairs.items():
            key = f"{metric}{name}"
            figures[f"{key}_aa_false_alarms_percent"] = percent(effect.p_value < 0.05)
        saving = cuped_saving(pairs[""], pairs["_cuped"])
        figures[f"{metric}_cuped_saves_percent"] = percent(saving)
        for name, effect in comparisons(better[metric], control[metric]).items():
            truths = (("difference", LIFT * base), ("relative", LIFT))
            for kind, truth in truths:
                estimate = getattr(effect, kind)
                covers = (estimate.low <= truth) & (truth <= estimate.high)
                figures[f"{metric}{name}_{kind}_coverage_percent"] = percent(covers)
            covers = np.abs(effect.relative.value - LIFT) <= 1.96 * effect.relative.error
            figures[f"{metric}{name}_relative_by_delta_method_coverage_percent"] = percent(covers)
    return figures


def daily_looks(rng: np.random.Generator, replications: int) -> Figures:
    """A/A tests that are looked at on each of 28 days and stopped at the first finding."""
    figures: Figures = {"looks": DAYS, "looked_at_users_per_variant": LOOKED_AT_USERS}
    for returning in (False, True):
        t, c = (looked_at(rng, replications, LOOKED_AT_USERS, returning, 0.0) for _ in range(2))
        width = width_in_errors(t.count + c.count, 2 * LOOKED_AT_USERS)
        effect = compare(t, c, width=width)
        found = (effect.difference.low > 0) | (effect.difference.high < 0)
        kind = "returning" if returning else "arriving"
        figures[f"daily_false_alarms_{kind}_users_percent"] = percent(found.any(axis=1))
        naive = (effect.p_value < 0.05).any(axis=1)
        figures[f"daily_false_alarms_{kind}_users_without_correction_percent"] = percent(naive)
    return figures


def looked_at(
    rng: np.random.Generator, replications: int, users: int, returning: bool, lift: float
) -> Moments:
    return joined(
        [
            simulate_looks(rng, min(BLOCK, replications - start), users, DAYS, returning, lift)
            for start in range(0, replications, BLOCK)
        ]
    )


def single(moments: Moments) -> Moments:
    """The only one of a batch of experiments."""
    return Moments(moments.count[0], moments.mean[0], moments.covariance[0])


def planned_power(rng: np.random.Generator, replications: int) -> Figures:
    """Experiments of the planned size with the planned lift: how many find it."""
    figures: Figures = {"planned_power_percent": 100 * POWER}
    options = PowerOptions(looks="once", power=POWER)
    history = simulate_units(rng, 1, HISTORY_USERS)
    for metric, lift in (("ctr", LIFT), ("revenue_per_user", 3 * LIFT)):
        of = METRICS[metric][0]
        for name in ("", "_cuped"):
            baseline = baseline_of(single(of(history)), DAYS, cuped=bool(name))
            size = units_needed(baseline, lift, options) // 2
            t, c = (draw(rng, replications, size, planted)[metric] for planted in (lift, 0.0))
            found = comparisons(t, c)[name].p_value < 0.05
            figures[f"{metric}{name}_planned_users_per_variant"] = size
            figures[f"{metric}{name}_power_percent"] = percent(found)
    return figures


def planned_power_of_looks(rng: np.random.Generator, replications: int) -> Figures:
    """The same with daily looks and always-valid intervals."""
    lift, options = 3 * LIFT, PowerOptions(looks="daily", power=POWER)
    last = simulate_looks(rng, 1, HISTORY_USERS, DAYS, returning=False)
    whole = Moments(last.count[:, -1], last.mean[:, -1], last.covariance[:, -1])
    baseline: Baseline = baseline_of(single(whole), DAYS, cuped=False)
    size = units_needed(baseline, lift, options) // 2
    t, c = (looked_at(rng, replications, size, False, planted) for planted in (lift, 0.0))
    effect = compare(t, c, width=width_in_errors(t.count + c.count, 2 * size))
    found = effect.difference.low > 0
    days = found.argmax(axis=1)[found.any(axis=1)] + 1
    return {
        "daily_revenue_per_user_planned_users_per_variant": size,
        "daily_revenue_per_user_power_percent": percent(found.any(axis=1)),
        "daily_revenue_per_user_median_days_of_28_until_found": float(np.median(days)),
    }


def broken_splits(rng: np.random.Generator, replications: int) -> Figures:
    """Right splits, and splits of which one variant lost some users before the log."""
    shares = np.array([0.5, 0.5])
    right = rng.multinomial(SPLIT_UNITS, shares, replications)
    lost = right.copy()
    lost[:, 1] -= rng.binomial(right[:, 1], LOST_SHARE)
    return {
        "split_users": SPLIT_UNITS,
        "split_false_alarms_percent": percent(split_p_values(right, shares) < BROKEN_BELOW),
        "split_lost_share_percent": 100 * LOST_SHARE,
        "split_caught_percent": percent(split_p_values(lost, shares) < BROKEN_BELOW),
    }


def estimates(
    log: LoggedChoices,
    situation: np.ndarray,
    choice: np.ndarray,
    target: np.ndarray,
    options: OffPolicyOptions,
    rng: np.random.Generator,
) -> dict[str, PolicyValue]:
    """All three of one log; ``target`` is the policy's (situations, choices)."""
    fold = rng.integers(0, 2, len(situation))
    q_FSA = cross_fitted_means(log.reward, situation, choice, fold, target.shape, 100.0)
    expected = (target * q_FSA).sum(axis=2)[fold, situation]
    predicted = q_FSA[fold, situation, choice]
    return {
        "ips": inverse_propensity(log, options),
        "snips": self_normalised(log, options),
        "dr": doubly_robust(log, predicted, expected, options),
    }


def simulated_logs(
    rng: np.random.Generator, bandit: SimulatedBandit, logs: int, rows: int, clip: float | None
) -> dict[str, list[PolicyValue]]:
    found: dict[str, list[PolicyValue]] = {"ips": [], "snips": [], "dr": []}
    options = OffPolicyOptions(clip=clip)
    for _ in range(logs):
        log, situation, choice = bandit.log(rng, rows)
        for name, value in estimates(log, situation, choice, bandit.target, options, rng).items():
            found[name].append(value)
    return found


def off_policy(rng: np.random.Generator, replications: int) -> Figures:
    """Estimates from simulated logs against the true value of the target policy."""
    logs = replications // 2
    figures: Figures = {"off_policy_logs": logs}
    for kind, rows, click in (("many_clicks", 2_000, 0.06), ("few_clicks", 10_000, 0.0045)):
        bandit = simulate_bandit(rng, situations=3, choices=20, click=click, sharpness=1.0)
        truth = bandit.value
        clicks = rows * float((bandit.logging * bandit.click).sum(axis=1).mean())
        figures[f"off_policy_{kind}_clicks_per_log"] = round(clicks, 1)
        for clip in (None, 5.0, 2.0):
            for name, found in simulated_logs(rng, bandit, logs, rows, clip).items():
                key = f"off_policy_{kind}_{name}" + (f"_clipped_at_{clip:g}" if clip else "")
                values = np.array([value.value for value in found])
                standard = values.std(ddof=1) / np.sqrt(len(values))
                covers = np.array([value.low <= truth <= value.high for value in found])
                bias = values.mean() - truth
                figures[f"{key}_bias_percent"] = round(100 * bias / truth, 2)
                figures[f"{key}_bias_in_monte_carlo_errors"] = round(bias / standard, 2)
                figures[f"{key}_spread_percent"] = round(100 * values.std() / truth, 1)
                figures[f"{key}_coverage_percent"] = percent(covers)
                errors = np.array([value.error for value in found])
                covers = np.abs(values - truth) <= 1.96 * errors
                figures[f"{key}_plain_normal_coverage_percent"] = percent(covers)
    return figures


PARTS = (
    false_alarms_and_coverage,
    daily_looks,
    planned_power,
    planned_power_of_looks,
    broken_splits,
    off_policy,
)


def main() -> None:
    """Simulate, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1_000)
    parser.add_argument("--open-bandit", type=Path, help="folder of the Parquet files")
    arguments = parser.parse_args()
    count = arguments.replications
    figures: Figures = {"data": "simulated", "replications": count, "seed": SEED}
    for number, part in enumerate(PARTS):
        figures |= part(np.random.default_rng((SEED, number)), count)
    report.write_report("experiments", figures)
    if arguments.open_bandit:
        report.write_report("open_bandit", open_bandit.figures(arguments.open_bandit, estimates))


if __name__ == "__main__":
    main()
