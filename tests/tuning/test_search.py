import logging
import multiprocessing
import signal
import sys

import polars as pl
import pytest
from tuning.tiny_search import BOUGHT, CUT, TOOK, make_data, make_search, tune_until_killed

from recsys_kedro import columns as c
from recsys_kedro.fitting import SCORE, choose_settings
from recsys_kedro.models.training import SCORE as EPOCH_SCORE
from recsys_kedro.tuning.results import Ending
from recsys_kedro.tuning.search import tune


def shape(trials):
    """All of the trials that a seed decides."""
    return [(t.ending, t.preset, t.values, t.settings, t.score) for t in trials]


def test_presets_come_first_and_the_best_of_them_is_the_default(tiny):
    presets = ({"half_life_days": 300}, {"half_life_days": 3}, {"half_life_days": 60})
    search = tiny(presets=presets, trials=5)
    result = tune(search)
    assert [trial.preset for trial in result.trials] == [0, 1, 2, None, None]
    assert [trial.values["half_life_days"] for trial in result.trials[:3]] == [300, 3, 60]
    choice, _ = choose_settings("recent_popularity", search.presets, search.data, seed=7)
    default = result.trial(result.default)
    assert default.score == choice.figures[SCORE]
    assert default.settings == {"half_life_days": choice.settings["half_life_days"]}
    assert [trial.score for trial in result.trials[:3]] == [
        trial["figures"][SCORE] for trial in choice.trials
    ]


def test_gain_is_the_difference_of_the_scores(tiny):
    result = tune(tiny(presets=({"half_life_days": 300},), trials=8))
    best, default = result.trial(result.best), result.trial(result.default)
    assert best.score > default.score
    assert result.gain.value == pytest.approx(best.score - default.score, abs=1e-12)
    assert result.gain.low <= result.gain.value <= result.gain.high
    assert result.users == len({user for user, _ in TOOK}) - 1, "the stranger had no event before"


def test_another_run_goes_on_and_a_complete_study_costs_nothing(tiny, tmp_path):
    first, second, third = [], [], []
    tune(tiny(trials=3, told=first))
    result = tune(tiny(trials=6, told=second))
    again = tune(tiny(trials=6, told=third))
    assert [len(told) for told in (first, second, third)] == [3, 3, 0]
    assert again == result
    undisturbed = tune(make_search(tmp_path / "other", trials=6))
    assert shape(result.trials) == shape(undisturbed.trials)
    assert undisturbed.gain == result.gain
    assert len({trial.values["half_life_days"] for trial in result.trials}) == 6


def test_another_seed_draws_other_trials(tiny):
    one, other = tune(tiny(seed=1)), tune(tiny(seed=2))
    assert one.study != other.study
    assert one.trials[-1].values != other.trials[-1].values


@pytest.fixture(scope="module")
def kill():
    """Lets searches be killed in a process of their own, which has imported what it needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuning.tiny_search"])

    def kill(*arguments):
        process = context.Process(target=tune_until_killed, args=arguments)
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL

    return kill


@pytest.mark.parametrize("fits", [1, 3])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(kill, tmp_path, fits):
    kill(tmp_path / "killed", fits)
    told = []
    result = tune(make_search(tmp_path / "killed", trials=6, told=told))
    undisturbed = tune(make_search(tmp_path / "undisturbed", trials=6))
    assert shape(result.trials) == shape(undisturbed.trials)
    assert len(told) == 6 - (fits - 1)
    numbers = [trial.number for trial in result.trials]
    assert numbers == [number for number in range(7) if number != fits - 1], (
        "the killed one is left"
    )
    assert result.study == undisturbed.study


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": make_data(rows=BOUGHT[:-1])}, "data; validation window"),
        ({"data": make_data(took=TOOK[1:])}, "validation window"),
        ({"presets": ({"half_life_days": 9},)}, "models.recent_popularity"),
        ({"seed": 8}, "seed, random_trials or pruning"),
        (
            {"space": {"recent_popularity": {"half_life_days": {"low": 1, "high": 99}}}},
            "space",
        ),
    ],
)
def test_what_is_tuned_has_changed_so_a_new_study_begins_and_says_so(tiny, caplog, changes, told):
    old = tune(tiny())
    new = tune(tiny(**changes))
    assert new.study != old.study
    message = f"Not as in study {old.study}, which stays as it is: {told}. A new study begins."
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warned] == [message]
    caplog.clear()
    assert tune(tiny()) == old
    assert "A new study" not in caplog.text


def test_more_trials_or_another_interval_are_no_other_study(tiny):
    assert tune(tiny()).study == tune(tiny(trials=3, confidence=0.9, resamples=50)).study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"trials": 1, "presets": ({}, {"half_life_days": 3})},
            r"tuning\.trials: 1 are fewer than",
        ),
        ({"presets": ({"half_life_days": 999},)}, r"recent_popularity\[0\]: half_life_days is 999"),
        ({"folder": "s3://bucket/tuning"}, r"tuning\.folder: .* is not a folder of this machine"),
    ],
)
def test_a_search_that_cannot_begin_says_why(tiny, changes, message):
    folder = changes.pop("folder", None)
    search = tiny(**changes) if folder is None else make_search(folder)
    with pytest.raises(ValueError, match=message):
        tune(search)


def test_a_trial_that_fails_ends_the_run_and_counts_for_nothing(tiny, monkeypatch):
    from recsys_kedro.models.popularity import RecentPopularity

    def fail(data, options, seed):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(RecentPopularity, "fit", fail)
        with pytest.raises(MemoryError):
            tune(tiny())
    result = tune(tiny())
    assert [trial.number for trial in result.trials] == [1, 2]
    assert [trial.preset for trial in result.trials] == [0, None]


def test_without_optuna_it_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'recsys_kedro\[tuning\]'"):
        tune(tiny())


def test_scores_of_users_that_are_gone_are_an_error(tiny, tmp_path):
    study = tune(tiny()).study
    (tmp_path / "tuning" / study / "0.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"remove .* to begin all studies anew"):
        tune(tiny())


def test_hybrid_trials_that_are_behind_are_ended_early(hybrid):
    """Almost no learning rate cannot keep up; the preset is never ended, however bad."""
    rates = {"training": {"learning_rate": {"choices": [0.01, 1e-9]}}}
    pruning = {"after_trials": 1, "after_epochs": 1}
    result = tune(hybrid(rates, trials=6, pruning=pruning))
    assert result.trials[0].preset == 0
    assert result.trials[0].ending is Ending.COMPLETE
    pruned = [trial for trial in result.trials if trial.ending is Ending.PRUNED]
    assert pruned
    for trial in pruned:
        assert trial.values == {"training.learning_rate": 1e-9}
        assert trial.score is None
        assert 1 <= len(trial.epochs) < 3
    full = [trial for trial in result.trials if trial.ending is Ending.COMPLETE]
    assert {len(trial.epochs) for trial in full} == {3}
    assert all(EPOCH_SCORE in epoch for trial in result.trials for epoch in trial.epochs)
    assert full[0].settings["network"] == {"width": 4, "heads": 2, "hidden": 16}, "is kept"


def test_without_pruning_every_trial_runs_to_its_end(hybrid):
    rates = {"training": {"learning_rate": {"choices": [0.01, 1e-9]}}}
    result = tune(hybrid(rates, trials=3, pruning={"enabled": False, "after_trials": 1}))
    assert {trial.ending for trial in result.trials} == {Ending.COMPLETE}
    assert {len(trial.epochs) for trial in result.trials} == {3}


def test_importance_finds_the_option_that_matters(tiny):
    few = tune(tiny(trials=7))
    assert few.importance == {}
    assert tune(tiny(trials=9)).importance == {"half_life_days": 1.0}


def test_the_users_of_the_window_are_asked_as_of_its_cut(tiny):
    requests = tiny().data.validation.queries.requests
    assert requests.select(pl.col(c.AS_OF).unique()).item() == CUT
