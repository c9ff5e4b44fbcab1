"""Which models are measured, how each is started, and what is tried on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recsys_kedro.models.registry import MODELS

OURS = "hybrid"
FILE = Path(__file__).with_name("trials.yml")


@dataclass(frozen=True)
class Kind:
    """How a model is fitted.

    Attributes:
        module: of this package, run in a process of its own.
        outside: whether it runs in the peers' environment.
        seeded: whether another seed gives another model.
        lists: whether it learns from the project's training lists.
        candidates: whether it ranks the project's candidates.
        steps: the setting that holds how many steps are trained, if the judge chooses it.
    """

    module: str
    outside: bool = False
    seeded: bool = True
    lists: bool = False
    candidates: bool = False
    steps: str | None = None


LIGHTGBM = Kind("fit_lightgbm", outside=True, lists=True, candidates=True, steps="rounds")
PEERS = {
    "implicit_als": Kind("fit_implicit", steps="iterations"),
    "implicit_bpr": Kind("fit_implicit", steps="iterations"),
    "rectools_sasrec": Kind("fit_rectools", outside=True, steps="epochs"),
    "rectools_bert4rec": Kind("fit_rectools", outside=True, steps="epochs"),
    "lightgbm_lambdarank": LIGHTGBM,
    "lightgbm_common": LIGHTGBM,
}
KINDS: dict[str, Kind] = {
    name: Kind("fit_ours", seeded=name in (OURS, "ials"), lists=name == OURS)
    for name in reversed(MODELS)
} | PEERS


def trials_of(
    model: str, configured: Mapping[str, Sequence[Mapping[str, Any]]], budget: int, *, quick: bool
) -> list[dict[str, Any]]:
    """The first ``budget`` settings of a model; fewer where fewer are written down.

    Args:
        model: one of :data:`KINDS`.
        configured: the environment's settings of the project's models.
        budget: how many are tried at most.
        quick: small and short, to see that everything works.
    """
    written = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    if model not in written:
        return [dict(setting) for setting in configured[model]][:budget]
    told = written[model]
    base = merged(configured[model][0] if model in configured else {}, told["base"])
    over = told["quick"] if quick else {}
    return [merged(merged(base, trial), over) for trial in told["trials"][:budget]]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with the values of ``above``, folder by folder."""
    result = dict(below)
    for name, value in above.items():
        deep = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if deep else value
    return result
