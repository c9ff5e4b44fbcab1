"""Where the seconds of training the hybrid go, and how far that is from the machine's limits.

``make bench-training-profile`` after `make run`: one epoch on what lies before the included shop's
validation window, each operator of torch timed and its multiplications counted, beside what the
machine reaches on one large product of matrices and on one large copy.
"""

import argparse
import time
from pathlib import Path

import report
import torch
from shops.default_shop import SEED, data_before_validation
from torch.profiler import ProfilerActivity, profile

from recsys_kedro.models.hybrid import Hybrid, HybridOptions

SIDE = 2048  # of the matrices that are multiplied
COPIED_BYTES = 2**28
REPEATS = 7
# By the first that an operator's name contains.
KINDS = {
    "matrix products": ("mm", "bmm", "linear", "embedding_bag"),
    "rows gathered and added": ("index", "scatter", "gather", "embedding", "sparse", "coalesce"),
    "optimiser and gradients' norm": ("_foreach", "optimizer", "norm", "adam"),
    "copies and concatenations": ("copy", "cat", "stack", "clone", "contiguous", "to"),
}
REST = "elementwise and sums"


def main() -> None:
    """Profile one epoch, print and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data")
    asked = parser.parse_args()
    data, settings = data_before_validation(asked.data)
    settings = {**settings, "training": {"epochs": 1}}
    options = HybridOptions.model_validate(settings)
    products, copies = product_gflops(), copy_gbytes()
    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiled:
        model = Hybrid.fit(data, options, SEED)
    whole = time.perf_counter() - started
    events = [event for event in profiled.key_averages() if event.self_cpu_time_total > 0]
    epoch = model.epochs[0]["seconds"]
    kinds = dict.fromkeys((*KINDS, REST), 0.0)
    for event in events:
        kinds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    flops = sum(event.flops for event in events)
    figures: dict[str, float | int | str] = {
        "threads": torch.get_num_threads(),
        "fit_s": round(whole, 1),
        "epoch_s": round(epoch, 1),
        "epoch_gflop": round(flops / 1e9, 1),
        "epoch_gflops": round(flops / 1e9 / epoch, 1),
        "machine_gflops": round(products, 1),
        "machine_copy_gbytes_per_s": round(copies, 1),
        **{f"{kind}_s": round(seconds, 2) for kind, seconds in kinds.items()},
    }
    for event in sorted(events, key=lambda each: -each.self_cpu_time_total)[:15]:
        figures[f"{event.key}_s"] = round(event.self_cpu_time_total / 1e6, 2)
    report.write_report("training_profile", figures)


def kind_of(operator: str) -> str:
    """The kind of work that an operator is."""
    name = operator.removeprefix("aten::").lower()
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return REST


def product_gflops() -> float:
    """What one product of large matrices reaches, the best of some."""
    left, right = torch.randn(2, SIDE, SIDE)
    return 2 * SIDE**3 / 1e9 / min(report.seconds(lambda: left @ right, REPEATS))


def copy_gbytes() -> float:
    """Bytes read and written per second by one large copy, the best of some."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / 1e9 / min(report.seconds(lambda: target.copy_(source), REPEATS))


if __name__ == "__main__":
    main()
