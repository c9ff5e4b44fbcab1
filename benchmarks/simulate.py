"""How fast the simulated shop is made: ``python benchmarks/simulate.py [--users N]``."""

import argparse
import os

# One core, as said in the figures; has to be set before NumPy and Polars start.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[threads] = "1"

import report

from recsys_kedro.simulation.options import SimulationOptions
from recsys_kedro.simulation.shop import simulate_shop

SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=6_700, help="150 events each")
    parser.add_argument("--products", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    options = SimulationOptions(users=asked.users, products=asked.products)
    before = report.peak_memory_mib()
    events = simulate_shop(options, SEED).events.height
    taken = report.timing(report.seconds(lambda: simulate_shop(options, SEED), asked.repeats))
    report.write_report(
        "simulate",
        {
            "events": events,
            "users": options.users,
            "products": options.products,
            "days": options.days,
            "threads": 1,
            **taken,
            "events_per_second": round(events / taken["seconds"]),
            "peak_memory_mib": report.peak_memory_mib(),
            "peak_memory_of_imports_mib": before,
        },
    )


if __name__ == "__main__":
    main()
