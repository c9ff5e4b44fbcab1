"""The search: an Optuna study of a model's settings, judged on the validation window only.

Optuna (T. Akiba et al., KDD 2019) draws with TPE (J. Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011). The study lies in a SQLite file; a search that was
killed goes on with the same trials as one that was not, since each trial has a seed of its own
and trials that did not finish count for nothing.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_kedro.fitting import SCORE, figures_of, fit_model, recommend_tasks, started_users
from recsys_kedro.models.base import TrainingData, Validation
from recsys_kedro.models.training import SCORE as EPOCH_SCORE
from recsys_kedro.options import Options
from recsys_kedro.promotion import mean_of_tasks_by_user
from recsys_kedro.tuning.fingerprint import data_digest, digest, window_digest
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.results import Trial, TuningResult
from recsys_kedro.tuning.space import Dimension, overlaid, values_of
from recsys_kedro.tuning.studies import (
    EPOCHS,
    PRESET,
    SETTINGS,
    Study,
    StudyFolder,
    distribution_of,
    finished_trials,
    summarise,
)

if TYPE_CHECKING:
    from optuna.trial import Trial as OpenTrial

LOGGER = logging.getLogger(__name__)

TrialWatcher = Callable[[Trial], None]


def ignore(trial: Trial) -> None:
    """Do nothing with a finished trial."""


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        shop: whose data it is.
        presets: the model's settings in ``models.<model>``; they are tried first.
        data: everything before the validation window, with the window.
        options: where, how long, in which space.
        seed: of the sampler, and of every fit.
        on_trial: told of each trial that this search finishes.
    """

    shop: str
    presets: Sequence[Options]
    data: TrainingData
    options: TuningOptions
    seed: int
    on_trial: TrialWatcher = field(default=ignore)

    @cached_property
    def dimensions(self) -> dict[str, Dimension]:
        """What is tuned, by dotted name."""
        return self.options.dimensions(self.options.model)

    @cached_property
    def preset_values(self) -> list[dict[str, Any]]:
        """The presets as points of the space."""
        where = f"models.{self.options.model}"
        return [
            values_of(preset, self.dimensions, f"{where}[{place}]")
            for place, preset in enumerate(self.presets)
        ]

    @cached_property
    def preset_settings(self) -> list[dict[str, Any]]:
        """The presets as they stand in the parameters, without defaults."""
        return [preset.model_dump(mode="json", exclude_unset=True) for preset in self.presets]

    @cached_property
    def identity(self) -> dict[str, str]:
        """Digests by what they are of; a study goes on only where all are the same."""
        space = {name: dimension.model_dump() for name, dimension in self.dimensions.items()}
        draws = [self.seed, self.options.random_trials, self.options.pruning.model_dump()]
        return {
            "data": data_digest(self.data),
            "validation window": window_digest(self.data),
            "space": digest(space),
            f"models.{self.options.model}": digest(self.preset_settings),
            "seed, random_trials or pruning": digest(draws),
        }


def tune(search: Search) -> TuningResult:
    """Take up the study of ``search``, or begin it, and run it to ``options.trials`` in all.

    Raises:
        ValueError: presets outside the space, or fewer trials than presets.
        ModuleNotFoundError: without Optuna.
    """
    options, presets = search.options, search.preset_values
    if options.trials < len(presets):
        msg = (
            f"tuning.trials: {options.trials} are fewer than the {len(presets)} settings of "
            f"models.{options.model}, which are tried first; raise it"
        )
        raise ValueError(msg)
    search = _among_started_users(search)
    folder = StudyFolder(options.folder, f"{search.shop}-{options.model}", search.identity)
    with folder.opened(options.pruning) as study:
        _tell_where_it_stands(study, options.trials, folder)
        while len(finished_trials(study)) < options.trials:
            _run_trial(study, search, folder)
        return summarise(study, folder, search.shop, options, search.seed)


def _among_started_users(search: Search) -> Search:
    """Judge by the users of the headline: those with any event before the window."""
    data = search.data
    if data.validation is None:
        msg = f"{search.options.model}: settings can only be tuned with validation data"
        raise ValueError(msg)
    truth = started_users(data.validation.truth, data.events, data.cut)
    return replace(search, data=replace(data, validation=replace(data.validation, truth=truth)))


def _tell_where_it_stands(study: Study, trials: int, folder: StudyFolder) -> None:
    done = len(finished_trials(study))
    if folder.changes:
        LOGGER.warning("%s A new study begins.", folder.changes)
    LOGGER.info("Study %s: %d of %d trials are finished.", study.study_name, done, trials)


def _run_trial(study: Study, search: Search, folder: StudyFolder) -> None:
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    done = finished_trials(study)
    place = len(done)
    is_preset = place < len(search.presets)
    study.sampler = TPESampler(
        seed=int(np.random.SeedSequence([search.seed, place]).generate_state(1)[0]),
        n_startup_trials=len(search.presets) + search.options.random_trials,
        multivariate=False,
        constant_liar=False,
    )
    if is_preset and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(search.preset_values[place])
    spaces = {name: distribution_of(each) for name, each in search.dimensions.items()}
    trial = study.ask(spaces)
    base = search.preset_settings[place if is_preset else _best_preset(done)]
    settings = overlaid(base, trial.params)
    trial.set_user_attr(SETTINGS, settings)
    trial.set_user_attr(PRESET, place if is_preset else None)
    watch = EpochWatch(trial, may_prune=search.options.pruning.enabled and not is_preset)
    try:
        value = _judge(search, settings, watch, folder, study)
    except Exception:
        study.tell(trial, state=TrialState.FAIL)
        LOGGER.exception("Trial %d failed with %s", trial.number, json.dumps(trial.params))
        raise
    study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)
    _report(finished_trials(study)[-1], search, place)


def _best_preset(done: Sequence[Trial]) -> int:
    """The place of the preset that the training would choose; the first of equals."""
    presets = [trial for trial in done if trial.preset is not None]
    best = max(presets, key=lambda trial: trial.score or 0.0)
    return best.preset or 0


def _judge(
    search: Search,
    settings: Mapping[str, Any],
    watch: "EpochWatch",
    folder: StudyFolder,
    study: Study,
) -> float | None:
    """The score of the settings, or None where they were ended early."""
    data = search.data
    assert data.validation is not None
    queries, truth = data.validation.queries, data.validation.truth
    watched = replace(data, validation=Validation(queries, truth, watch))
    model = fit_model(search.options.model, _cold(settings), watched, search.seed)
    watch.finish(getattr(model, "epochs", []))
    if watch.pruned:
        return None
    recommendations = recommend_tasks(model, queries)
    score = figures_of(truth, recommendations)[SCORE]
    best = max((trial.score or 0.0 for trial in finished_trials(study)), default=0.0)
    if watch.is_preset or score > best:
        by_user = mean_of_tasks_by_user(truth, recommendations)
        folder.keep_users(study.study_name, watch.number, by_user)
    return score


def _cold(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the weights of an earlier fit: a trial may neither begin with them nor leave any."""
    if "weights_folder" in settings.get("training", {}):
        return overlaid(settings, {"training.weights_folder": None})
    return settings


class EpochWatch:
    """Reports the validation score of each epoch to the study, and ends trials that are behind."""

    def __init__(self, trial: "OpenTrial", *, may_prune: bool) -> None:
        """Begin with no epoch."""
        self._trial = trial
        self._may_prune = may_prune
        self._told = 0
        self.pruned = False

    @property
    def number(self) -> int:
        """Of the trial."""
        return self._trial.number

    @property
    def is_preset(self) -> bool:
        """Whether the trial is one of the presets."""
        return self._trial.user_attrs[PRESET] is not None

    def __call__(self, epochs: Sequence[Mapping[str, float]]) -> bool:
        """Whether the trial has to end; see ``Validation.enough``."""
        self._tell(epochs)
        self.pruned = self._may_prune and self._trial.should_prune()
        return self.pruned

    def finish(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Report the epochs that nobody asked about, and keep all figures with the trial."""
        self._tell(epochs)
        self._trial.set_user_attr(EPOCHS, [dict(epoch) for epoch in epochs])

    def _tell(self, epochs: Sequence[Mapping[str, float]]) -> None:
        for epoch in epochs[self._told :]:
            if EPOCH_SCORE in epoch:
                self._trial.report(epoch[EPOCH_SCORE], int(epoch["epoch"]))
        self._told = len(epochs)


def _report(trial: Trial, search: Search, place: int) -> None:
    told = "ended early" if trial.score is None else f"{SCORE} {trial.score:.4f}"
    LOGGER.info(
        "Trial %d (%d of %d): %s in %.1f s with %s",
        trial.number,
        place + 1,
        search.options.trials,
        told,
        trial.seconds,
        json.dumps(trial.values),
    )
    search.on_trial(trial)
