"""The inputs of the fits, the fits, and a whole run, on the small simulated shop."""

import json
import shutil

import accuracy
import polars as pl
import pytest
import report
from accuracy_peers import fit_implicit, fit_ours, prepare
from accuracy_peers.environment import UnavailableError, peers_python
from accuracy_peers.job import Job
from accuracy_peers.judging import score_of, values_by_user
from accuracy_peers.measuring import FitError, Measured, call
from accuracy_peers.results import Results, flat, markdown, plot_accuracy
from accuracy_peers.windows import Window, one_window
from safetensors.numpy import load_file

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.training_requests import LABEL_END

SAMPLING = {"window_queries": 40, "session_queries": 20, "list_negatives": 30, "snapshots": 2}


@pytest.fixture(scope="module")
def data(shop, shop_events, shop_split, tmp_path_factory):
    """What a run of the pipeline would have prepared."""
    folder = tmp_path_factory.mktemp("shop")
    for name in ("03_primary", "04_feature"):
        (folder / name).mkdir()
    tables = {"events": shop_events, "products": shop.products, "users": shop.users}
    for name, table in tables.items():
        table.write_parquet(folder / "03_primary" / f"{name}.parquet")
    (folder / "04_feature" / "split.json").write_text(shop_split.model_dump_json())
    return folder


def prepare_in(folder, data, split, **sampling):
    windows, sampling = one_window(split, test=False).windows, SAMPLING | sampling
    spec = prepare.Spec(data, folder, windows, sampling, {}, seed=7, lists=True, candidates=True)
    spec.write(folder / "spec.json")
    prepare.main(folder / "spec.json")
    return windows


@pytest.fixture(scope="module")
def prepared(data, shop_split, tmp_path_factory):
    """The folder of the cuts, the window that chooses and the one that judges."""
    folder = tmp_path_factory.mktemp("prepared")
    return folder, *prepare_in(folder, data, shop_split)


def test_of_few_lists_there_are_more_snapshots(prepared, data, shop_split, tmp_path):
    folder, *windows = prepared
    of_each = SAMPLING["window_queries"] + SAMPLING["session_queries"]
    prepare_in(tmp_path, data, shop_split, lists=3 * of_each)
    for window in windows:
        two, three = (
            pl.read_parquet(each / "inputs" / window.name / "lists" / "requests.parquet").filter(
                ~pl.col(c.LIVE)
            )
            for each in (folder, tmp_path)
        )
        assert two[f.SNAPSHOT_TIME].n_unique() == 2
        assert three[f.SNAPSHOT_TIME].n_unique() == 3
        assert two[f.SNAPSHOT_TIME].max() == three[f.SNAPSHOT_TIME].max()


def test_nothing_of_a_cut_is_at_or_after_it(prepared):
    folder, *windows = prepared
    for window in windows:
        inputs = folder / "inputs" / window.name
        for name in ("events", "interactions", "queries/history"):
            assert pl.read_parquet(inputs / f"{name}.parquet")[c.TIMESTAMP].max() < window.cut
        requests = pl.read_parquet(inputs / "lists" / "requests.parquet")
        assert requests[LABEL_END].max() <= window.cut
        snapshots = pl.read_parquet(inputs / "snapshots.parquet")
        assert snapshots[f.SNAPSHOT_TIME].max() == window.cut
        windows_of_lists = requests.filter(~pl.col(c.LIVE))[f.SNAPSHOT_TIME]
        assert windows_of_lists.n_unique() == SAMPLING["snapshots"]


def test_what_lies_after_the_judged_window_changes_nothing(
    prepared, data, shop_events, shop_split, tmp_path
):
    folder, *windows = prepared
    other = tmp_path / "other"
    shutil.copytree(data, other)
    end = windows[-1].end
    after = pl.col(c.TIMESTAMP) >= end
    changed = shop_events.with_columns(
        pl.when(after).then(pl.lit("nobody")).otherwise(c.PRODUCT_ID).alias(c.PRODUCT_ID)
    )
    assert shop_events.filter(after).height > 0
    changed.write_parquet(other / "03_primary" / "events.parquet")
    (tmp_path / "again").mkdir()
    prepare_in(tmp_path / "again", other, shop_split)
    for path in sorted((folder / "inputs").rglob("*.parquet")):
        again = tmp_path / "again" / path.relative_to(folder)
        assert pl.read_parquet(path).equals(pl.read_parquet(again)), path.name
    for path in sorted((folder / "inputs").rglob("*.safetensors")):
        arrays, found = load_file(path), load_file(tmp_path / "again" / path.relative_to(folder))
        assert all((arrays[name] == found[name]).all() for name in arrays), path.name


def test_the_candidates_are_of_everybody_who_is_asked(prepared):
    folder, _, window = prepared
    inputs = folder / "inputs" / window.name
    arrays = load_file(inputs / "candidates" / "candidates.safetensors")
    lists = load_file(inputs / "lists" / "lists.safetensors")
    asked = pl.read_parquet(inputs / "asked.parquet")
    assert pl.read_parquet(inputs / "candidates" / "users.parquet").equals(asked)
    assert len(arrays["offsets"]) == asked.height + 1
    assert arrays["features"].shape == (arrays["offsets"][-1], lists["features"].shape[1])
    truth = pl.read_parquet(inputs / "truth.parquet")
    assert set(truth[c.USER_ID]) == set(asked[c.USER_ID])


def test_the_shares_of_the_lists_are_of_the_snapshots(prepared):
    folder, *windows = prepared
    said = json.loads((folder / "prepared.json").read_text())
    # Labels of two weeks: two snapshots with windows, one without, the cut; the windows lie
    # two weeks apart, so both share a grid.
    assert said["snapshots"] == 6
    assert said["shares"] == {window.name: 4 / 6 for window in windows}


@pytest.mark.parametrize(
    ("model", "main", "settings"),
    [
        ("popularity", fit_ours.main, {}),
        ("implicit_als", fit_implicit.main, {"factors": 8, "iterations": 10, "bm25": True}),
        ("implicit_bpr", fit_implicit.main, {"factors": 8, "iterations": 25, "events": "all"}),
    ],
)
def test_fits_give_lists_of_everybody_for_both_tasks(prepared, tmp_path, model, main, settings):
    folder, window, _ = prepared
    inputs = folder / "inputs" / window.name
    job = Job(model, inputs, tmp_path, settings, seed=1, validate=True, threads=1)
    main(job.write())
    truth = pl.read_parquet(inputs / "truth.parquet")
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    asked = set(pl.read_parquet(inputs / "asked.parquet")[c.USER_ID])
    for task in c.TASKS:
        assert set(lists.filter(pl.col(c.TASK) == task)[c.USER_ID]) == asked
    taken = pl.read_parquet(inputs / "interactions.parquet").filter("target")
    new = lists.filter(pl.col(c.TASK) == c.TASK_NEW, pl.col(c.RANK) <= 10)
    assert new.join(taken, on=[c.USER_ID, c.PRODUCT_ID], how="semi").is_empty()
    assert score_of(truth, lists) > 0.02
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["model_bytes"] > 0
    if model == "implicit_als":
        assert [each["step"] for each in said["steps"]] == [5, 10]
        last = pl.read_parquet(tmp_path / "steps.parquet").filter(pl.col("step") == 10)
        assert score_of(truth, last) == pytest.approx(said["steps"][1]["ndcg"])


def test_a_fit_that_ends_badly_says_why(tmp_path):
    job = Job("popularity", tmp_path / "nowhere", tmp_path, {}, 1, validate=False, threads=1)
    with pytest.raises(FitError, match=r"fit_ours ended with 1: .*nowhere"):
        call(accuracy.Pythons()(accuracy.KINDS["popularity"]), "fit_ours", job.write(), 1)


def measured(model, seconds, ranks, truth):
    lists = pl.DataFrame(
        [(task, user, "p", rank) for task in c.TASKS for user, rank in ranks.items()],
        [c.TASK, c.USER_ID, c.PRODUCT_ID, c.RANK],
        orient="row",
    )
    labels = [pl.lit(model).alias("model"), pl.lit(1).alias("seed"), pl.lit("w").alias("window")]
    values = values_by_user(truth, lists).with_columns(labels)
    return Measured(values, {}, 6, 0.5, seconds, 1.0, 2.0, 30.0, 100.0, 1.5)


@pytest.fixture
def results():
    truth = pl.DataFrame(
        [(task, user, "p") for task in c.TASKS for user in ("ann", "ben")],
        [c.TASK, c.USER_ID, c.PRODUCT_ID],
        orient="row",
    )
    found = {
        "implicit_bpr": measured("implicit_bpr", 3.0, {"ann": 3, "ben": 3}, truth),
        "hybrid": measured("hybrid", 9.0, {"ann": 1, "ben": 3}, truth),
    }
    return Results.of(found, {"rectools_sasrec": "no wheel"}, seed=1)


def test_figures_are_flat_and_the_difference_is_the_hybrids_minus_the_peers(results):
    figures = flat(results)
    assert figures["users_all"] == 2
    assert figures["hybrid_all_ndcg@10"] == (1 + 0.5) / 2
    assert figures["hybrid_minus_implicit_bpr_new_ndcg@10"] == (0.5 + 0.0) / 2
    assert figures["hybrid_minus_implicit_bpr_new_ndcg@10_low"] == 0
    assert "hybrid_minus_hybrid_all_ndcg@10" not in figures
    assert (figures["implicit_bpr_seconds"], figures["implicit_bpr_trials"]) == (3.0, 6)
    assert figures["rectools_sasrec_missing"] == "no wheel"


def test_the_table_says_what_may_be_chance_and_what_is_missing(results):
    table = markdown(results, ["# Accuracy"])
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| hybrid", "| implicit_bpr"]
    assert "~+0.2500 (+0.0000 to +0.5000)" in rows[3]
    assert "rectools_sasrec was not measured: no wheel" in table


def test_the_plot_has_a_panel_for_each_task(results):
    figure = plot_accuracy(results, "shop")
    titles = [axes.get_title("left") or axes.get_title() for axes in figure.axes]
    assert titles == ["shop: all", "shop: new"]
    (labels,) = {tuple(text.get_text() for text in axes.texts) for axes in figure.axes}
    assert labels == ("implicit_bpr", "hybrid")


def test_without_a_run_before_it_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        accuracy.main(["--data", str(tmp_path)])
    assert "has no split: run the pipeline" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("folds", [[], ["--folds", "2"]])
def test_a_whole_run(data, tmp_path, monkeypatch, folds):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "FOLDER", tmp_path / "reports")
    monkeypatch.setattr(accuracy, "WORK", tmp_path / "work")
    try:
        peers_python()
        models = list(accuracy.KINDS)
    except UnavailableError:
        models = ["hybrid", "popularity", "implicit_als"]
    asked = ["--data", str(data), "--env", "test", "--quick", "--trials", "1", "--threads", "1"]
    assert accuracy.main([*asked, *folds, "--models", *models]) == 0
    (path,) = (tmp_path / "reports").glob("accuracy*.json")
    figures = json.loads(path.read_text())
    for model in models:
        assert 0 < figures[f"{model}_all_ndcg@10"] <= 1, model
        assert figures[f"{model}_peak_mib"] > 10
    assert figures["windows"] == (2 if folds else 1)
    assert path.with_suffix(".md").is_file()
    assert path.with_suffix(".png").is_file()
    assert not list((tmp_path / "work").rglob("inputs"))


def test_windows_are_named_for_their_cut(day):
    assert Window(day(0), day(7)).name == "2024-01-01T000000"
