"""Studies as they are kept: Optuna's tables in a SQLite file, scores by user beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from recsys_kedro.metrics.evaluation import Figure
from recsys_kedro.metrics.intervals import paired_interval
from recsys_kedro.tuning.fingerprint import digest
from recsys_kedro.tuning.options import PruningOptions, TuningOptions
from recsys_kedro.tuning.results import Ending, Trial, TuningResult
from recsys_kedro.tuning.space import Choices, Dimension, WholeRange

if TYPE_CHECKING:
    import optuna

Study: TypeAlias = "optuna.Study"

DATABASE = "studies.db"
IDENTITY, SETTINGS, PRESET, EPOCHS = "identity", "settings", "preset", "epochs"
LEAST_FOR_IMPORTANCE = 8  # complete trials; fewer say nothing


class StudyFolder:
    """Where the studies of a shop lie.

    Attributes:
        changes: in words, what differs from the latest study of the same shop and model; empty
            where it is the same, or there is none.
    """

    def __init__(self, folder: Path, prefix: str, identity: dict[str, str]) -> None:
        """Name the study.

        Args:
            folder: on this machine.
            prefix: of the names of all studies of a shop's model.
            identity: digests of what the study belongs to.

        Raises:
            ValueError: for a folder that is not on this machine.
        """
        if ":/" in str(folder):
            msg = (
                f"tuning.folder: {folder} is not a folder of this machine, as SQLite needs; "
                "set globals.tuning"
            )
            raise ValueError(msg)
        self._folder, self._prefix, self._identity = folder, prefix, identity
        self.changes = ""

    @contextmanager
    def opened(self, pruning: PruningOptions) -> Iterator[Study]:
        """The study, new or as it was left; trials that a killed run left open are ended.

        Raises:
            ModuleNotFoundError: without Optuna.
        """
        optuna = _optuna()
        self._folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{self._folder / DATABASE}")
        try:
            name = f"{self._prefix}-{digest(self._identity)[:12]}"
            self.changes = self._changes(storage, name)
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=pruning.after_trials, n_warmup_steps=pruning.after_epochs
                ),
                load_if_exists=True,
            )
            study.set_user_attr(IDENTITY, self._identity)
            _end_open_trials(study)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def _changes(self, storage: Any, name: str) -> str:
        """What made the latest study of this shop and model another one."""
        known = {study.study_name: study for study in storage.get_all_studies()}
        others = [other for other in known if other.startswith(f"{self._prefix}-")]
        if name in known or not others:
            return ""
        latest = others[-1]
        theirs = known[latest].user_attrs.get(IDENTITY, {})
        parts = [part for part, value in self._identity.items() if theirs.get(part) != value]
        return f"Not as in study {latest}, which stays as it is: {'; '.join(parts)}."

    def keep_users(self, study: str, number: int, by_user: pl.DataFrame) -> None:
        """Keep ``user_id, value`` of a trial; written beside and renamed."""
        path = self._users_path(study, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        by_user.write_parquet(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def users(self, study: str, number: int) -> pl.DataFrame:
        """What :meth:`keep_users` kept.

        Raises:
            FileNotFoundError: somebody removed it.
        """
        path = self._users_path(study, number)
        if not path.is_file():
            msg = f"{path} is gone; remove {self._folder} to begin all studies anew"
            raise FileNotFoundError(msg)
        return pl.read_parquet(path)

    def _users_path(self, study: str, number: int) -> Path:
        return self._folder / study / f"{number}.parquet"


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        msg = "tuning needs Optuna: pip install 'recsys_kedro[tuning]'"
        raise ModuleNotFoundError(msg) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _end_open_trials(study: Study) -> None:
    """A run holds the lock of its result, so an open trial is one that was killed."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def distribution_of(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    """How Optuna draws from a dimension."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, WholeRange):
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def finished_trials(study: Study) -> list[Trial]:
    """Complete and pruned trials, in the order of their numbers."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return [_read(trial) for trial in study.get_trials(deepcopy=False, states=states)]


def _read(trial: "optuna.trial.FrozenTrial") -> Trial:
    assert trial.datetime_start is not None
    assert trial.duration is not None
    pruned = trial.state.name == "PRUNED"
    return Trial(
        number=trial.number,
        ending=Ending.PRUNED if pruned else Ending.COMPLETE,
        preset=trial.user_attrs[PRESET],
        values=trial.params,
        settings=trial.user_attrs[SETTINGS],
        score=None if pruned else trial.value,
        epochs=trial.user_attrs[EPOCHS],
        started=trial.datetime_start.astimezone(UTC),
        seconds=trial.duration.total_seconds(),
    )


def summarise(
    study: Study, folder: StudyFolder, shop: str, options: TuningOptions, seed: int
) -> TuningResult:
    """What the finished trials say."""
    trials = finished_trials(study)
    complete = [trial for trial in trials if trial.ending is Ending.COMPLETE]
    presets = [trial for trial in complete if trial.preset is not None]
    best, default = (
        max(some, key=lambda trial: trial.score or 0.0) for some in (complete, presets)
    )
    mine, theirs = (folder.users(study.study_name, each.number) for each in (best, default))
    difference = (mine["value"] - theirs["value"]).to_numpy()
    interval = paired_interval(difference, seed, options.resamples, options.confidence)
    return TuningResult(
        shop=shop,
        study=study.study_name,
        model=options.model,
        users=len(difference),
        trials=trials,
        default=default.number,
        best=best.number,
        gain=Figure.of(interval),
        confidence=options.confidence,
        importance=_importance(study, len(complete), seed),
    )


def _importance(study: Study, complete: int, seed: int) -> dict[str, float]:
    """Share of each option in the variance of the scores.

    fANOVA: F. Hutter et al., "An Efficient Approach for Assessing Hyperparameter Importance",
    ICML 2014.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if complete < LEAST_FOR_IMPORTANCE:
        return {}
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: round(share, 4) for name, share in shares.items()}
