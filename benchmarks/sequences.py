"""How well the next item of ordered sequences is ranked: linear, neural, and both joined.

Run: ``make bench-sequences ARGS="--sequences PATH --attributes PATH"``. One user a line, items
oldest first; attributes are optional. A study of data without times, which the product's own
models do not read.

Leave-last-out: one item per user is predicted from those before it, ranked among all items,
without those that the user has had (``--repeats`` keeps them). Nothing is fitted on that item
or on what follows it. The fusion learns from the item before, scored by models that were fitted
without that one too; then both models are fitted anew, up to the item that is predicted.

On a machine with other work set ``OMP_NUM_THREADS=1``: threads that wait for each other spin.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import report
from ordered.data import Histories, Ints, OrderedData, read
from ordered.encoder import EncoderOptions, fit_encoder
from ordered.fusion import (
    Fusion,
    FusionOptions,
    Lists,
    Models,
    all_scores,
    allowed_items,
    fit_fusion,
    fused_scores,
    linear_scores,
    lists_of,
    models_of,
)
from ordered.linear import Floats, LinearOptions, linear_weights
from ordered.metrics import figures_of, target_ranks

from recsys_kedro.models.ease import EASEOptions, ease_weights

BLOCK = 250  # users scored at once
SERVED, EARLIER = "served", "earlier"
EASE, LINEAR, NEURAL, SUM, FUSION = "ease", "linear", "neural", "weighted_sum", "fusion"
Figures = dict[str, float]
Result = TypeVar("Result")


def main() -> None:
    """Measure, print a table and write the report."""
    parser = argument_parser()
    asked = parser.parse_args()
    try:
        data = read(asked.sequences, asked.attributes)
        rows = measure(data, 1 if asked.test else 2, asked.seeds, asked.repeats)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    figures: dict[str, float | int | str] = {
        "data": asked.sequences.name,
        "attributes": asked.attributes.name if asked.attributes else "none",
        "predicted": "last item (test)" if asked.test else "last but one (validation)",
        "repeats": "kept" if asked.repeats else "left out",
        "users": len(data.sequences),
        "items": data.items,
        "seeds": asked.seeds,
    }
    print_table(rows)
    for name, of_seeds in rows.items():
        for key in of_seeds[0]:
            values = [found[key] for found in of_seeds]
            figures[f"{name}_{key}"] = rounded(statistics.mean(values), key)
            if len(values) > 1:
                figures[f"{name}_{key}_by_seed"] = " ".join(str(rounded(v, key)) for v in values)
    report.write_report("sequences", figures)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sequences", type=Path, required=True, help="one user a line: `user item item ...`"
    )
    parser.add_argument("--attributes", type=Path, help="JSON: {item: [attribute, ...]}")
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11), metavar="1..10")
    parser.add_argument("--repeats", action="store_true", help="list items again that a user had")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--validate", action="store_true", help="predict the last item but one (the default)"
    )
    which.add_argument(
        "--test",
        action="store_true",
        help="predict the last item; every such run has to be counted and told with its figures, "
        "since choices made after looking at them fit the test",
    )
    return parser


def measure(data: OrderedData, last: int, seeds: int, repeats: bool) -> dict[str, list[Figures]]:
    """Figures of each model by seed; what does not depend on a seed has one.

    Args:
        data: all of it; what is held back is cut off here.
        last: which item is predicted, counted from the end.
        seeds: how often what is random is fitted.
        repeats: whether an item that a user had may be listed.
    """
    served, targets_U = data.held_back(last)
    stages = {SERVED: served, EARLIER: data.held_back(last + 1)[0]}
    rows: dict[str, list[Figures]] = {EASE: [measure_ease(data, served, targets_U, repeats)]}
    linear: dict[str, Floats] = {}
    fit_seconds = {}
    for stage, histories in stages.items():
        linear[stage], fit_seconds[stage] = timed(
            lambda histories=histories: linear_weights(
                histories, data.items, data.attributes_PA, LinearOptions()
            )
        )
    for seed in range(seeds):
        found = measure_seed(data, last, seed, repeats, linear, fit_seconds)
        for name, figures in found.items():
            if name != LINEAR or seed == 0:
                rows.setdefault(name, []).append(figures)
    return rows


def measure_ease(
    data: OrderedData, histories: Histories, targets_U: Ints, repeats: bool
) -> Figures:
    """The product's EASE, which knows sets and no order; only its query fades."""

    def ranks() -> Ints:
        taken_UP = histories.weights(data.items, 1.0)
        taken_UP.data[:] = 1
        weights_PP = ease_weights(taken_UP, EASEOptions().l2)
        parts = []
        for some, is_target_UP in blocks(histories, targets_U, data.items):
            scores_UP = linear_scores(weights_PP, some)
            allowed_UP = allowed_items(some, data.items, repeats)
            parts.append(target_ranks(np.where(allowed_UP, scores_UP, -np.inf), is_target_UP))
        return np.concatenate(parts)

    rank_U, seconds = timed(ranks)
    return figures_of(rank_U) | {"seconds": seconds}


def measure_seed(
    data: OrderedData,
    last: int,
    seed: int,
    repeats: bool,
    linear: dict[str, Floats],
    linear_seconds: dict[str, float],
) -> dict[str, Figures]:
    """Fit what is random and rank by each model and by both.

    ``seconds`` are those of fitting all that a row needs, and for the fusion of the lists
    that it learns from; ranking, done once for all rows, is left out.
    """
    models, neural_seconds = {}, {}
    for stage, back in ((EARLIER, last + 1), (SERVED, last)):
        histories, _ = data.held_back(back)
        encoder, neural_seconds[stage] = timed(
            lambda histories=histories: fit_encoder(
                histories, data.items, data.attributes_PA, EncoderOptions(), seed
            )
        )
        models[stage] = models_of(histories, linear[stage], encoder, data.attributes_PA)
    fusion, fusion_seconds = timed(
        lambda: learn_fusion(models[EARLIER], *data.held_back(last + 1), seed, repeats)
    )
    ranks = rank_all(models[SERVED], fusion, *data.held_back(last), repeats)
    both = linear_seconds[SERVED] + neural_seconds[SERVED]
    seconds = {
        LINEAR: linear_seconds[SERVED],
        NEURAL: neural_seconds[SERVED],
        SUM: both,
        FUSION: both + linear_seconds[EARLIER] + neural_seconds[EARLIER] + fusion_seconds,
    }
    return {name: figures_of(ranks[name]) | {"seconds": seconds[name]} for name in seconds}


def learn_fusion(
    models: Models, histories: Histories, targets_U: Ints, seed: int, repeats: bool
) -> Fusion:
    """From the lists that hold their target; the others are not kept."""
    parts, targets = [], []
    for some, is_target_UP in blocks(histories, targets_U, len(models.count_P)):
        lists = lists_of(models, some, all_scores(models, some, repeats), repeats)
        found_UC = np.take_along_axis(is_target_UP, lists.item_UC, axis=1) & lists.valid_UC
        found_U = found_UC.any(axis=1)
        parts.append(Lists(*(values[found_U] for values in lists)))
        targets.append(is_target_UP[found_U].argmax(axis=1))
    lists = Lists(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    return fit_fusion(lists, np.concatenate(targets), FusionOptions(), seed)


def rank_all(
    models: Models, fusion: Fusion, histories: Histories, targets_U: Ints, repeats: bool
) -> dict[str, Ints]:
    """(U,) where each model puts the item that is predicted."""
    parts: dict[str, list[Ints]] = {LINEAR: [], NEURAL: [], SUM: [], FUSION: []}
    for some, is_target_UP in blocks(histories, targets_U, len(models.count_P)):
        scores = all_scores(models, some, repeats)
        of_models = {LINEAR: scores.linear_UP, NEURAL: scores.neural_UP, SUM: scores.sum_UP}
        for name, scores_UP in of_models.items():
            open_UP = np.where(scores.allowed_UP, scores_UP, -np.inf)
            parts[name].append(target_ranks(open_UP, is_target_UP))
        lists = lists_of(models, some, scores, repeats)
        is_target_UC = np.take_along_axis(is_target_UP, lists.item_UC, axis=1)
        parts[FUSION].append(target_ranks(fused_scores(fusion, lists), is_target_UC))
    return {name: np.concatenate(ranks) for name, ranks in parts.items()}


def blocks(
    histories: Histories, targets_U: Ints, items: int
) -> Iterator[tuple[Histories, np.ndarray]]:
    """Some users at a time, and (U, P) which item is theirs to be predicted."""
    for start in range(0, len(histories), BLOCK):
        some = slice(start, start + BLOCK)
        yield histories.some(some), targets_U[some, None] == np.arange(items)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What it returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def rounded(value: float, key: str) -> float:
    return round(value, 1 if key == "seconds" else 4)


def print_table(rows: dict[str, list[Figures]]) -> None:
    """Means over the seeds."""
    keys = list(next(iter(rows.values()))[0])
    print(f"{'':14}" + "".join(f"{key:>12}" for key in keys))
    for name, of_seeds in rows.items():
        means = [rounded(statistics.mean(found[key] for found in of_seeds), key) for key in keys]
        print(f"{name:14}" + "".join(f"{value:>12}" for value in means))


if __name__ == "__main__":
    main()
