from pages import assert_needs_nothing_but_itself

from recsys_kedro.pipelines.tuning.nodes import build_tuning_report
from recsys_kedro.pipelines.tuning.table import headline_figures, tuning_table, value_in_words
from recsys_kedro.tuning.results import Ending


def test_the_page_is_whole_and_says_what_it_is(result):
    page = build_tuning_report(result)
    assert_needs_nothing_but_itself(page)
    assert "SIMULATED DATA" in page
    assert result.verdict.split("(")[0].replace("+", "&#43;") in page or result.verdict in page
    assert f"{result.trial(result.best).score:.4f}" in page
    assert page.count("<svg") == 2, "history and importance"
    assert build_tuning_report(result) == page


def test_every_trial_has_a_row_and_those_ended_early_stand_last(result):
    ended = result.trials[-1].model_copy(update={"ending": Ending.PRUNED, "score": None})
    trials = [*result.trials[:-1], ended]
    best = max(trials, key=lambda trial: trial.score or 0)
    changed = result.model_copy(update={"trials": trials, "best": best.number, "importance": {}})
    page = build_tuning_report(changed)
    rows = page[page.index("All trials") :]
    assert rows.count("<tr") == 1 + len(trials)
    assert rows.rindex("ended early") > rows.rindex(f"<td>{best.score:.4f}</td>")
    assert "Too few complete trials" in page


def test_figures_for_tracking(result):
    figures = headline_figures(result)
    assert figures["tuning/gain"] == result.gain.value
    assert figures["tuning/best"] - figures["tuning/default"] - figures["tuning/gain"] < 1e-12
    assert figures["tuning/trials_complete"] == 9
    assert figures["tuning/trials_pruned"] == 0


def test_table_shows_every_tuned_option(result):
    table = tuning_table(result)
    assert list(table.columns[0].cells) == ["mean NDCG@10, validation", "neighbours", "own_weight"]
    assert [value_in_words(value) for value in (None, 3, 0.123456, True)] == [
        "none", "3", "0.1235", "True",
    ]  # fmt: skip
