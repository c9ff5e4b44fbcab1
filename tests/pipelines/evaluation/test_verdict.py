import pytest

from recsys_kedro.metrics.evaluation import Evaluation
from recsys_kedro.pipelines.evaluation.verdict import Outcome, give_verdict


def evaluation(**differences: tuple[float, float, float]) -> Evaluation:
    """Tasks in which ease has 0.2 and the hybrid what the difference says."""
    tasks = {}
    for task, (value, low, high) in differences.items():
        ndcg = {"ease": 0.2, "popularity": 0.1, "hybrid": 0.2 + value}
        models = {name: {"ndcg@10": {"value": figure}} for name, figure in ndcg.items()}
        group = {"users": 5, "models": models}
        hybrid = {"value": value, "low": low, "high": high}
        tasks[task] = {
            "users": 50,
            "models": models,
            "slices": {"history_length": {"0": group, "1": group, "6+": group}},
            "differences": {"baseline": "ease", "models": {"hybrid": hybrid}},
        }
    return Evaluation.model_validate(
        {"schema_version": 1, "cut": "2024-03-01", "end": "2024-03-29", "tasks": tasks}
    )


WIN, LOSS, DRAW = (0.1, 0.05, 0.15), (-0.1, -0.15, -0.05), (0.01, -0.01, 0.03)


@pytest.mark.parametrize(
    ("difference", "outcome", "title"),
    [
        (WIN, Outcome.HYBRID_WINS, "The hybrid wins on both tasks."),
        (LOSS, Outcome.BASELINE_WINS, "A baseline wins on both tasks."),
        (DRAW, Outcome.NO_WINNER, "No clear winner"),
    ],
)
def test_the_interval_of_the_difference_decides(difference, outcome, title):
    verdict = give_verdict(evaluation(all=difference, new=difference))
    assert verdict.outcome is outcome
    assert verdict.title.startswith(title)


def test_tasks_that_disagree_are_both_named():
    verdict = give_verdict(evaluation(all=LOSS, new=WIN))
    assert verdict.title == (
        "A baseline wins on all products, repeats included; "
        "the hybrid wins on products new to the user."
    )


def test_a_loss_names_the_baseline_and_by_how_much():
    sentences = give_verdict(evaluation(all=LOSS)).tasks[0].sentences
    assert sentences[0] == "A baseline wins: ease reaches NDCG@10 0.200, the hybrid 0.100."
    assert "-0.100 (-50.0%), interval -0.150 to -0.050, over 50 users." in sentences[1]


def test_the_verdict_says_on_whom():
    sentences = give_verdict(evaluation(all=WIN)).tasks[0].sentences
    assert "ahead for users with 1 event (5 users: 0.300 against 0.200), 6+ events" in sentences[2]
    assert "For the 5 users without any event before the cut" in sentences[3]


def test_a_difference_that_may_be_chance_is_called_so():
    assert "could be chance" in give_verdict(evaluation(all=DRAW)).tasks[0].sentences[1]


def test_without_a_baseline_there_is_no_contest(shop):
    alone = Evaluation.model_validate(shop.only_models("hybrid").evaluate())
    assert give_verdict(alone).outcome is Outcome.NO_CONTEST
