"""Windows, trials, the peers' environment and what a fit is told."""

from datetime import timedelta

import pandas as pd
import pytest
import report
from accuracy import argument_parser, environment_of, read_parameters
from accuracy_peers.environment import UnavailableError, installer_environment, peers_python
from accuracy_peers.job import Job, Report, Watch, with_popular
from accuracy_peers.trials import KINDS, merged, trials_of
from accuracy_peers.windows import Window, grids, one_window, weekly_folds

from recsys_kedro.models.registry import MODELS
from recsys_kedro.splits import TimeSplit

WEEK = timedelta(days=7)


@pytest.fixture
def split(day):
    return TimeSplit(
        validation_start=day(100),
        test_start=day(128),
        end=day(156),
        as_of=day(156),
        horizon_days=28,
        target_event_types=("purchase",),
    )


def test_validation_is_judged_unless_the_test_is_asked_for(split, day):
    usual = one_window(split, test=False)
    assert (usual.choice, usual.judged) == (
        Window(day(72), day(100)),
        (Window(day(100), day(128)),),
    )
    assert usual.end == split.test_start
    test = one_window(split, test=True)
    assert (test.choice, test.judged) == (usual.judged[0], (Window(day(128), day(156)),))


def test_folds_end_where_the_validation_begins_and_are_chosen_before(split, day):
    folds = weekly_folds(split, 3, 7)
    assert folds.judged == tuple(Window(day(100 - 7 * n), day(107 - 7 * n)) for n in (3, 2, 1))
    assert folds.choice == Window(day(79 - 28), day(79))
    assert folds.end == split.validation_start


def test_cuts_of_one_grid_share_their_snapshots(day):
    assert grids([day(100), day(72)], 7, day(0)) == [
        ([day(72), day(100)], [day(2 + 7 * n) for n in range(15)])
    ]


def test_cuts_between_the_steps_have_a_grid_of_their_own(day):
    assert grids([day(99), day(100)], 7, day(85)) == [
        ([day(99)], [day(85), day(92), day(99)]),
        ([day(100)], [day(86), day(93), day(100)]),
    ]
    every_day = [day(n) for n in range(96, 101)]
    assert grids([day(99), day(100)], 1, day(96)) == [([day(99), day(100)], every_day)]


def test_every_model_has_the_trials_that_are_asked_for():
    configured = read_parameters("base")["models"]
    for model in KINDS:
        for quick in (False, True):
            trials = trials_of(model, configured, 3, quick=quick)
            assert len(trials) == (1 if model == "popularity" else 3)
            if model in MODELS:
                for trial in trials:
                    MODELS[model].options_type.model_validate(trial)
    hybrid = trials_of("hybrid", configured, 3, quick=False)
    assert [each["network"]["width"] for each in hybrid] == [16, 16, 32]
    assert all(each["training"]["checkpoint_folder"] is None for each in hybrid)


def test_settings_are_merged_deep():
    below = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merged(below, {"a": {"y": 5}, "b": {"z": 1}}) == {"a": {"x": 1, "y": 5}, "b": {"z": 1}}
    assert below == {"a": {"x": 1, "y": 2}, "b": 3}


def test_the_test_window_is_not_for_folds(capsys):
    with pytest.raises(SystemExit):
        argument_parser().parse_args(["--test", "--folds", "2"])
    assert "not allowed with argument" in capsys.readouterr().err
    assert not argument_parser().parse_args([]).test


def test_parameters_are_those_of_the_folders_environment(tmp_path):
    assert environment_of(report.ROOT / "data") == "base"
    assert environment_of(tmp_path / "simulated") == "simulated"
    with pytest.raises(ValueError, match="no conf/my_shop, so whose parameters"):
        environment_of(tmp_path / "my_shop")


def test_peers_that_cannot_be_installed_are_said_to_be(tmp_path):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"nothing @ file://{tmp_path}/nothing.whl\n", encoding="utf-8")
    with pytest.raises(UnavailableError, match=r"nothing\.whl"):
        peers_python(tmp_path / "venv", wanted)
    assert not (tmp_path / "venv" / ".installed").exists()


def test_uv_is_told_what_pip_is_told(monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)  # make exports it
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other")
    told = installer_environment()
    assert (told["UV_FIND_LINKS"], told["UV_DEFAULT_INDEX"]) == ("wheels", "https://other")


@pytest.fixture
def job(tmp_path):
    """Ann took ``a`` and is judged on ``b``; Ben is new; both are asked."""
    tables = {
        "asked": {"user_id": ["ann", "ben"]},
        "truth": {"task": ["all", "new"], "user_id": ["ann"] * 2, "product_id": ["b"] * 2},
        "popular": {"product_id": ["a", "b", "c"]},
        "interactions": {
            "user_id": ["ann", "ann"],
            "product_id": ["a", "c"],
            "timestamp": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True),
            "target": [True, False],
        },
    }
    for name, columns in tables.items():
        pd.DataFrame(columns).to_parquet(tmp_path / f"{name}.parquet")
    return Job("m", tmp_path, tmp_path / "out", {}, seed=1, validate=True, threads=1)


def test_a_job_comes_back_as_it_was_written(job):
    assert Job.read(job.write()) == job


def test_who_has_no_list_gets_what_is_popular(job):
    listed = {"task": ["all"], "user_id": ["ann"], "product_id": ["c"], "rank": [1]}
    found = with_popular(job, pd.DataFrame(listed))
    lists = found.groupby(["task", "user_id"])["product_id"].agg("".join).to_dict()
    assert lists == {
        ("all", "ann"): "c",
        ("all", "ben"): "abc",
        ("new", "ann"): "bc",  # without what she took; what she only saw stays
        ("new", "ben"): "abc",
    }
    assert found.query("task == 'new' and user_id == 'ann'")["rank"].tolist() == [1, 2]


def lists_with(rank):
    rows = [(task, "ann", "b", rank) for task in ("all", "new")]
    return pd.DataFrame(rows, columns=["task", "user_id", "product_id", "rank"])


def test_a_fit_ends_when_more_steps_do_not_help(job):
    watch = Watch(job, every=2, patience=2)
    ranks = {2: 3, 4: 1, 6: 2, 8: 1}
    stops = [watch.after(step, lambda step=step: lists_with(ranks[step])) for step in range(1, 9)]
    assert stops == [False] * 7 + [True]
    assert [each["step"] for each in watch.steps] == [2, 4, 6, 8]
    assert watch.steps[1]["ndcg"] == 1
    job.out.mkdir()
    watch.write(job.out)
    kept = pd.read_parquet(job.out / "steps.parquet")
    assert kept.groupby("step")["rank"].first().to_dict() == ranks


def test_a_judged_fit_sees_no_truth(job):
    (job.inputs / "truth.parquet").unlink()
    blind = Job(**{**vars(job), "validate": False})
    watch = Watch(blind, every=1, patience=1)
    assert not any(watch.after(step, lambda: pytest.fail("asked")) for step in range(1, 4))
    assert watch.steps == []


def test_the_memory_is_that_of_this_process(job):
    job.out.mkdir()
    report = Report()
    report.write(job.out)
    assert 10 < report.peak_mib < 100_000
