"""What the onboarding quiz is worth to newcomers, against popular products and other quizzes.

Run: ``python benchmarks/onboarding.py``, after ``make run`` has ingested the default shop
(``--data`` names another folder with its ``events.parquet`` and ``products.parquet``). Nothing
of the shop's test window is read. The simulated shop needs no data, and its newcomers can
also answer by their true tastes.

The answers of a newcomer are made from a random half of what was then taken: ``bought`` likes
exactly that, ``near`` likes what is like it too, ``taste`` likes what the simulation says.
A figure is the mean over newcomers with its 95 % bootstrap interval. A quiz is compared with
popular products by itself, and the chosen quiz with each rival on what both leave to be found.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import report

from recsys_kedro import columns as c
from recsys_kedro.metrics.evaluation import Figure
from recsys_kedro.models.base import Recommender, TrainingData
from recsys_kedro.models.ease import EASE, EASEOptions
from recsys_kedro.models.item_knn import ItemKNN, ItemKNNOptions
from recsys_kedro.models.popularity import (
    Popularity,
    PopularityOptions,
    RecentPopularity,
    RecentPopularityOptions,
)
from recsys_kedro.ranking.onboarding import (
    Askable,
    OnboardingOptions,
    Quiz,
    answer_event_type,
    askable,
    choose_quiz,
    make_quiz,
    with_liked_events,
)
from recsys_kedro.ranking.onboarding_evaluation import (
    NewcomerOptions,
    Newcomers,
    OnboardingEvaluation,
    evaluate_answers,
    find_newcomers,
    simulate_answers,
)
from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.oracle import Tastes, oracle_scores
from recsys_kedro.simulation.shop import simulate_shop
from recsys_kedro.vocabulary import Vocabulary

SEED = 0
TAKEN = (c.PURCHASE,)
OPTIONS, NEWCOMERS = OnboardingOptions(), NewcomerOptions()
RANDOM_QUIZZES = 3
LIKED_SHARE = 0.1  # of the catalogue, by true expected purchases
QUIZ = "quiz"


@dataclass(frozen=True)
class Shop:
    """A shop whose newcomers of ``[cut, end)`` are asked; ``tastes`` where they are known."""

    name: str
    events: pl.DataFrame
    products: pl.DataFrame
    cut: datetime
    end: datetime
    tastes: Tastes | None = None


def online_retail(folder: Path) -> Shop:
    """The default shop, four weeks short of its test window."""
    events = pl.read_parquet(folder / "events.parquet")
    products = pl.read_parquet(folder / "products.parquet")
    cut, end = datetime(2011, 8, 1, tzinfo=UTC), datetime(2011, 10, 14, tzinfo=UTC)
    return Shop("online_retail", events.filter(pl.col(c.TIMESTAMP) < end), products, cut, end)


def simulated() -> Shop:
    """A shop of 12,000 users; a third of its year is left for newcomers."""
    shop = simulate_shop(SimulationOptions(users=12_000, new_user_share=0.4), SEED)
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias(c.SOURCE_ROW)
    cut, end = datetime(2024, 9, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    return Shop("simulated", shop.events.with_columns(rows), shop.products, cut, end, shop.tastes)


def make_quizzes(shop: Shop) -> dict[str, Quiz]:
    """The chosen quiz, and rivals that ask as much about products as well known."""
    known = pl.col(c.CREATED_AT).is_null() | (pl.col(c.CREATED_AT) < shop.cut)
    products = shop.products.filter(known)
    past = shop.events.filter(pl.col(c.TIMESTAMP) < shop.cut)
    choices = askable(past, products, shop.cut, TAKEN, OPTIONS)
    event_type = answer_event_type(past[c.EVENT_TYPE].unique().to_list())
    size, rng = OPTIONS.questions * OPTIONS.choices, np.random.default_rng(SEED)
    rivals = {"popularity_x_entropy": by_popularity_and_entropy(choices)[:size]}
    for number in range(1, RANDOM_QUIZZES + 1):
        rivals[f"random_{number}"] = rng.choice(choices.candidates, size, replace=False)
    chosen = choose_quiz(shop.events, products, shop.cut, TAKEN, OPTIONS)
    return {QUIZ: chosen} | {
        name: make_quiz(choices, asked, event_type, OPTIONS) for name, asked in rivals.items()
    }


def by_popularity_and_entropy(choices: Askable) -> np.ndarray:
    """The candidates by users times the entropy of taking it or not. Rashid et al. (IUI 2002).

    Without ratings there are two answers only, so this is the order of popularity as long as
    nothing is taken by more than half of all users.
    """
    users = np.asarray(choices.taken_UP.sum(axis=0)).ravel()[choices.candidates]
    share = np.clip(users / choices.taken_UP.shape[0], 1e-9, 1 - 1e-9)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    return choices.candidates[np.argsort(-users * entropy, kind="stable")]


def answers_by_taste(quiz: Quiz, newcomers: Newcomers, tastes: Tastes) -> pl.DataFrame:
    """Liked is what is in the top tenth of the user's true expected purchases as of the cut."""
    users = newcomers.held_out[c.USER_ID].unique().sort()
    asked = pl.Series(quiz.product_ids, dtype=pl.String)
    scores = oracle_scores(tastes, users, newcomers.cut)
    lowest = np.nanquantile(np.where(np.isfinite(scores), scores, np.nan), 1 - LIKED_SHARE, axis=1)
    columns = Vocabulary(tastes.product_ids).encode(asked)
    user, place = np.nonzero(scores[:, columns] >= lowest[:, None])
    liked = pl.DataFrame({c.USER_ID: users[user], c.PRODUCT_ID: asked[place]})
    return with_liked_events(liked, newcomers.cut, quiz.event_type)


def answers_of(
    shop: Shop, quizzes: dict[str, Quiz], newcomers: Newcomers, taste: ItemKNN
) -> Iterator[tuple[str, dict[str, pl.DataFrame]]]:
    """By the way of answering, the answers to each quiz."""
    for name, similarity in (("bought", None), ("near", NEWCOMERS.liked_similarity)):
        yield (
            name,
            {
                key: simulate_answers(quiz, newcomers, taste, similarity)
                for key, quiz in quizzes.items()
            },
        )
    if shop.tastes is not None:
        yield (
            "taste",
            {key: answers_by_taste(quiz, newcomers, shop.tastes) for key, quiz in quizzes.items()},
        )


def measure(
    answers: dict[str, pl.DataFrame],
    newcomers: Newcomers,
    model: Recommender,
    baselines: list[Recommender],
) -> dict[str, float | int | str]:
    """Each quiz against popular products, and the chosen one against each rival."""

    def evaluate(*names: str) -> OnboardingEvaluation:
        some = {name: answers[name] for name in names}
        return evaluate_answers(some, newcomers, model, baselines, SEED)

    figures: dict[str, float | int | str] = {}
    for name in answers:
        alone = evaluate(name)
        figures[f"{name}.newcomers"] = alone.users
        figures[f"{name}.liked_per_newcomer"] = round(alone.liked[name], 3)
        figures[f"{name}.share_who_liked_any"] = round(alone.answered[name], 3)
        if name == QUIZ:
            for other, found in alone.lists.items():
                figures |= {f"{other}.{metric}": words(f) for metric, f in found.items()}
        for other, found in alone.differences[name].items():
            figures |= {f"{name}.minus_{other}.{metric}": words(f) for metric, f in found.items()}
        if name != QUIZ:
            found = evaluate(QUIZ, name).differences[QUIZ][name]
            figures |= {f"{QUIZ}.minus_{name}.{metric}": words(f) for metric, f in found.items()}
    return figures


def words(figure: Figure) -> str:
    """``value (low to high)``."""
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data" / "03_primary")
    folder = parser.parse_args().data
    if not (folder / "events.parquet").is_file():
        parser.error(f"{folder} holds no events.parquet: run `make run` first, or name its --data")
    figures: dict[str, float | int | str] = {}
    for shop in (online_retail(folder), simulated()):
        past = shop.events.filter(pl.col(c.TIMESTAMP) < shop.cut)
        data = TrainingData(past, shop.products, pl.DataFrame(), shop.cut, TAKEN)
        item_knn = ItemKNN.fit(data, ItemKNNOptions(neighbours=200), SEED)
        models = (item_knn, EASE.fit(data, EASEOptions(), SEED))
        baselines = [
            Popularity.fit(data, PopularityOptions(), SEED),
            RecentPopularity.fit(data, RecentPopularityOptions(), SEED),
        ]
        newcomers = find_newcomers(shop.events, shop.cut, shop.end, TAKEN, NEWCOMERS, SEED)
        quizzes = make_quizzes(shop)
        figures |= {
            f"{shop.name}.cut": f"{shop.cut:%Y-%m-%d}",
            f"{shop.name}.end": f"{shop.end:%Y-%m-%d}",
        }
        for way, answers in answers_of(shop, quizzes, newcomers, item_knn):
            for model in models:
                found = measure(answers, newcomers, model, baselines)
                figures |= {f"{shop.name}.{way}.{model.name}.{k}": v for k, v in found.items()}
    report.write_report("onboarding", figures)


if __name__ == "__main__":
    main()
