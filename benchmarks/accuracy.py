"""The hybrid against other recommenders, trained with the same care and judged by one judge.

Run: ``make bench-accuracy`` after ``make run``; another shop with ``ARGS="--data data/simulated"``
after ``kedro run --env=simulated``. Every model has the same number of trials on weeks before
those that are judged; each fit is a process of its own. The peers' packages are installed into
an environment of their own on the first run. See docs/accuracy.md.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import report
from accuracy_peers.environment import UnavailableError, peers_python
from accuracy_peers.measuring import FitError, Measured, Workshop, prepare
from accuracy_peers.prepare import INPUTS, Spec, read_split
from accuracy_peers.results import Results, flat, markdown, plot_accuracy
from accuracy_peers.trials import KINDS, Kind, trials_of
from accuracy_peers.windows import Protocol, one_window, weekly_folds
from kedro.config import OmegaConfigLoader

from recsys_kedro.plotting import use_style
from recsys_kedro.settings import CONFIG_LOADER_ARGS

CONF = report.ROOT / "conf"
WORK = report.ROOT / "data" / "benchmarks" / "peers"


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=report.ROOT / "data", help="a run's folder")
    parser.add_argument("--env", help="whose parameters; default: the name of the data's folder")
    parser.add_argument("--models", nargs="+", choices=KINDS, default=list(KINDS), metavar="MODEL",
                        help="of " + ", ".join(KINDS))  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=1, help="judged fits of each model")
    parser.add_argument("--trials", type=positive, default=6, help="settings tried on each model")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--folds", type=positive, help="successive windows before the validation")
    which.add_argument("--test", action="store_true", help="judge the test window; only once")
    parser.add_argument("--fold-days", type=positive, default=7, help="length of a fold's window")
    parser.add_argument("--quick", action="store_true", help="tiny models, to see that all works")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true", help="take fits of an earlier run")
    return parser


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return number


def environment_of(data: Path) -> str:
    """The environment that a folder is named for.

    Raises:
        ValueError: if there is none of that name.
    """
    name = "base" if data.resolve() == (report.ROOT / "data").resolve() else data.name
    if not (CONF / name).is_dir():
        msg = f"there is no conf/{name}, so whose parameters? Say --env=…"
        raise ValueError(msg)
    return name


def read_parameters(env: str) -> dict[str, Any]:
    """The parameters of an environment."""
    arguments: dict[str, Any] = dict(CONFIG_LOADER_ARGS)
    loader = OmegaConfigLoader(conf_source=str(CONF), env=env, **arguments)
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def protocol_of(asked: argparse.Namespace) -> Protocol:
    split = read_split(asked.data)
    if asked.folds:
        return weekly_folds(split, asked.folds, asked.fold_days)
    return one_window(split, test=asked.test)


def name_of(asked: argparse.Namespace, protocol: Protocol) -> str:
    """``accuracy``, then what differs from the usual run."""
    whole = asked.data.resolve() == (report.ROOT / "data").resolve()
    parts = ["accuracy", "" if protocol.name == "validation" else protocol.name]
    parts += ["" if whole else asked.data.name, "quick" if asked.quick else ""]
    return "_".join(part for part in parts if part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all models; 1 where one of the project's own failed."""
    parser = argument_parser()
    asked = parser.parse_args(arguments)
    try:
        protocol = protocol_of(asked)
        parameters = read_parameters(asked.env or environment_of(asked.data))
    except FileNotFoundError:
        parser.error(f"{asked.data} has no split: run the pipeline of its environment first")
    except ValueError as error:
        parser.error(str(error))
    name = name_of(asked, protocol)
    kinds = [KINDS[model] for model in asked.models]
    spec = Spec(
        data=asked.data,
        folder=WORK / name,
        windows=protocol.windows,
        sampling=parameters["sampling"],
        features=parameters["features"],
        seed=parameters["seed"],
        lists=any(kind.lists for kind in kinds),
        candidates=any(kind.candidates for kind in kinds),
    )
    prepared = prepare(spec, asked.threads, resume=asked.resume)
    shop = Workshop(
        spec.folder, protocol, prepared, Pythons(), asked.threads, spec.seed, asked.resume
    )
    measured, missing = measure(shop, asked, parameters["models"])
    shutil.rmtree(spec.folder / INPUTS)
    (spec.folder / "prepared.json").unlink()
    if not measured:
        parser.exit(1, "nothing was measured: " + "; ".join(missing.values()) + "\n")
    write(
        Results.of(measured, missing, spec.seed),
        asked,
        protocol,
        prepared,
        name,
        parameters["shop"],
    )
    return int(any(KINDS[model].module == "fit_ours" for model in missing))


class Pythons:
    """The interpreter of each kind of model; the peers' environment is made when it is needed."""

    def __call__(self, kind: Kind) -> Path:
        return peers_python() if kind.outside else Path(sys.executable)


def measure(
    shop: Workshop, asked: argparse.Namespace, configured: Mapping[str, Any]
) -> tuple[dict[str, Measured], dict[str, str]]:
    """What was measured, and why the others were not."""
    measured: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for model in asked.models:
        trials = trials_of(model, configured, asked.trials, quick=asked.quick)
        try:
            measured[model] = shop.measure(model, trials, asked.seeds)
        except (FitError, UnavailableError) as error:
            missing[model] = str(error)
            print(f"{model}: {error}")
    return measured, missing


def write(
    results: Results,
    asked: argparse.Namespace,
    protocol: Protocol,
    prepared: Mapping[str, Any],
    name: str,
    shop: str,
) -> None:
    """Figures, table and plot into the reports' folder."""
    first, last, choice = protocol.judged[0], protocol.judged[-1], protocol.choice
    about = {
        "data": shop,
        "protocol": protocol.name,
        "judged_from": f"{first.cut:%Y-%m-%d}",
        "judged_until": f"{last.end:%Y-%m-%d}",
        "windows": len(protocol.judged),
        "window_days": (first.end - first.cut).total_seconds() / 86_400,
        "chosen_from": f"{choice.cut:%Y-%m-%d}",
        "chosen_until": f"{choice.end:%Y-%m-%d}",
        "trials": asked.trials,
        "seeds": asked.seeds,
        "threads": asked.threads,
        "quick": str(asked.quick),
        "training_lists_seconds": round(sum(prepared.get("seconds", {}).values()), 1),
        "training_lists_snapshots": prepared.get("snapshots", 0),
    }
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    heading = ["# Accuracy", "", ", ".join(f"{key} {value}" for key, value in about.items())]
    users = ", ".join(f"{count:,} for {task}" for task, count in results.users.items())
    table = markdown(results, [*heading, "", f"Judged users: {users}."])
    (report.FOLDER / f"{name}.md").write_text(table, encoding="utf-8")
    use_style()
    plot_accuracy(results, shop).savefig(report.FOLDER / f"{name}.png", dpi=120)
    report.write_report(name, {**about, **flat(results)})
    print(table)


if __name__ == "__main__":
    sys.exit(main())
