"""The whole loop on simulated shoppers: train, serve two variants, shop, judge; and the truth.

A shop lives twelve weeks without recommendations. A model is trained on that and registered, and
popular products beside it. For four weeks a real server then shows each visitor the list of the
visitor's variant; the shoppers click and buy, and their next requests tell of it. At last
``kedro run --env=ab_demo --pipelines=ab_testing`` judges by the log of the server. The truth is
the mean over all who come, once under each model, with common random numbers. All of it is
SIMULATED: it says that the loop works, not what a model would earn.

Run: ``make ab-demo``, ten minutes.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import polars as pl
import report
from load.visits import LIST_LENGTH, Lived, live
from numpy.typing import NDArray
from shops import demo_shop

from recsys_kedro import columns as c
from recsys_kedro.experiments.attribution import revenue_of_purchases
from recsys_kedro.experiments.simulated_trials import Trials
from recsys_kedro.serving.registered_models import CHAMPION
from recsys_kedro.simulation.memory import EMPTY
from recsys_kedro.simulation.oracle import memory_as_of
from recsys_kedro.simulation.response import Audience
from recsys_kedro.simulation.response_choice import ResponseOptions
from recsys_kedro.simulation.shop import Shop
from recsys_kedro.vocabulary import Vocabulary

LIFE = 1  # seed of the shoppers' noise in the experiment; the replications have others
TRUTH_LIVES = 15
PRE_DAYS = 28
PRIMARY = "revenue_per_user"
SHOPPERS = ResponseOptions()
Figures = dict[str, float | int | str]


@contextmanager
def timed(name: str, figures: Figures) -> Iterator[None]:
    """Note and say how long a phase took."""
    print(f"{name} …", flush=True)
    start = time.perf_counter()
    yield
    figures[f"{name}_seconds"] = round(time.perf_counter() - start, 1)


def audience(shop: Shop) -> Audience:
    """The shoppers as they are before the experiment; each call gives the same ones."""
    _, experiment = demo_shop.the_experiment()
    window = (experiment.start, experiment.end)
    return Audience(shop.tastes, shop.events, *window, SHOPPERS, LIFE)


def run_experiment(shop: Shop) -> Lived:
    """Four weeks of visits to the server; what the shoppers did goes to the shop's event files."""
    with demo_shop.served(CHAMPION, demo_shop.with_experiment()) as ask:
        lived = live(audience(shop), ask)
    by_day = lived.events.with_columns(pl.col(c.TIMESTAMP).dt.date().alias("day"))
    for (day,), events in by_day.partition_by("day", as_dict=True, include_key=False).items():
        demo_shop.append_events(events, str(day))
    logged = demo_shop.logged_impressions()
    if logged != lived.shown.height:
        msg = f"{lived.shown.height} products were shown, but the server has logged {logged}"
        raise RuntimeError(msg)
    return lived


def revenue_by_user(shop: Shop, events: pl.DataFrame) -> NDArray[np.float64]:
    """(U,) of each account, shop's currency."""
    paid = events.group_by(c.USER_ID).agg(revenue_of_purchases().sum())
    everybody = pl.DataFrame({c.USER_ID: shop.tastes.world.shoppers.ids})
    joined = everybody.join(paid, on=c.USER_ID, how="left", maintain_order="left")
    return joined.to_series(1).fill_null(0.0).to_numpy()


def verdict_figures() -> Figures:
    """What the analysis concluded, and said on the screen."""
    result = demo_shop.the_result()
    (variant, verdict), *_ = result.verdicts.items()
    comparison = result.comparisons[variant]
    effect = comparison.metrics[PRIMARY]
    print(f"\nSIMULATED SHOPPERS. {verdict.headline}", *verdict.reasons, sep="\n  ")
    figures: Figures = {
        "verdict": verdict.action,
        "users_treatment": comparison.users,
        "users_control": comparison.users_control,
        "cuped_saving": effect.saving or 0.0,
    }
    for name in ("difference", "relative"):
        figure = getattr(effect, name)
        for part in ("value", "low", "high"):
            figures[f"{PRIMARY}_{name}_{part}"] = getattr(figure, part)
    return figures


def truth_figures(shop: Shop, lives: dict[str, Lived], measured: Figures) -> Figures:
    """What the champion for all instead of the control for all earns from those who come."""
    came = lives[CHAMPION].shown[c.USER_ID].unique()
    coming = shop.tastes.world.shoppers.ids.is_in(came.implode()).to_numpy()
    during = pl.col(c.TIMESTAMP) < demo_shop.the_experiment()[1].end
    earned = {
        alias: revenue_by_user(shop, lived.events.filter(during)) for alias, lived in lives.items()
    }
    gain = (earned[CHAMPION] - earned[demo_shop.CONTROL])[coming]
    low, high = (float(measured[f"{PRIMARY}_difference_{end}"]) for end in ("low", "high"))
    truth = float(gain.mean())
    relative = truth / earned[demo_shop.CONTROL][coming].mean()
    covered = "yes" if low <= truth <= high else "no"
    print(f"\nThe truth: {truth:+.2f} a user, {relative:+.1%}. In the interval: {covered}.")
    return {
        "true_difference": truth,
        "true_relative": float(relative),
        "interval_covers_truth": covered,
    }


def first_lists(shop: Shop, lived: Lived) -> NDArray[np.int32]:
    """(U, L) what each user was shown at the first visit; -1 for who never came."""
    first = pl.col(c.TIMESTAMP) == pl.col(c.TIMESTAMP).min().over(c.USER_ID)
    shown = lived.shown.filter(first).unique([c.USER_ID, c.POSITION], keep="first")
    lists = np.full((len(shop.tastes.world.shoppers), LIST_LENGTH), EMPTY, np.int32)
    user = Vocabulary(shop.tastes.world.shoppers.ids).encode(shown[c.USER_ID])
    product = Vocabulary(shop.tastes.product_ids).encode(shown[c.PRODUCT_ID])
    lists[user, shown[c.POSITION].to_numpy() - 1] = product
    return lists


def replication_figures(shop: Shop, lives: dict[str, Lived], count: int) -> Figures:
    """The experiment many times with other splits and moods, on the users' first lists."""
    _, experiment = demo_shop.the_experiment()
    since = experiment.start
    before = pl.col(c.TIMESTAMP).is_between(since - timedelta(days=PRE_DAYS), since, "left")
    trials = Trials(
        tastes=shop.tastes,
        memory=memory_as_of(shop.tastes, shop.events, since),
        pre_revenue=revenue_by_user(shop, shop.events.filter(before)),
        control=first_lists(shop, lives[demo_shop.CONTROL]),
        treatment=first_lists(shop, lives[CHAMPION]),
        experiment=experiment,
        options=SHOPPERS,
    )
    seeds = range(LIFE + 1, LIFE + 1 + count)
    truth, error = trials.truth(range(seeds.stop, seeds.stop + TRUTH_LIVES))
    found = trials.run(seeds).difference
    covered = float(np.mean((found.low <= truth) & (truth <= found.high)))
    monte_carlo = float(np.sqrt(covered * (1 - covered) / count))
    print(f"Of {count} replications {covered:.1%} (± {monte_carlo:.1%}) cover their truth.")
    return {
        "replications": count,
        "replications_coverage": covered,
        "replications_coverage_error": monte_carlo,
        "replications_true_difference": truth,
        "replications_true_difference_error": error,
        "replications_standard_error": float(found.error.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shoppers", type=int, default=40_000, help="accounts; half of them come")
    parser.add_argument("--replications", type=int, default=200, help="0: none")
    asked = parser.parse_args()
    _, experiment = demo_shop.the_experiment()
    figures: Figures = {"accounts": asked.shoppers}
    with timed("simulation", figures):
        shop = demo_shop.simulate(asked.shoppers)
        demo_shop.write_tables(shop, experiment.start)
    with timed("learning", figures):
        demo_shop.run(demo_shop.LEARNING)
        demo_shop.register_control()
    with timed("experiment", figures):
        lived = run_experiment(shop)
    figures["shoppers"] = lived.shown[c.USER_ID].n_unique()
    figures["requests"] = lived.shown[c.SESSION_ID].n_unique()
    figures["events"] = lived.events.height
    with timed("judging", figures):
        demo_shop.run(demo_shop.JUDGING)
    figures |= verdict_figures()
    lives = {}
    with timed("truth", figures):
        for alias in (CHAMPION, demo_shop.CONTROL):
            with demo_shop.served(alias, {}) as ask:
                lives[alias] = live(audience(shop), ask)
    figures |= truth_figures(shop, lives, figures)
    if asked.replications:
        with timed("replications", figures):
            figures |= replication_figures(shop, lives, asked.replications)
    report.write_report("ab_demo", figures)
    print(f"The report: {demo_shop.REPORT.relative_to(report.ROOT)}")


if __name__ == "__main__":
    main()
