"""Who wins, by how much, on whom: the evaluation in sentences."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from recsys_kedro import columns as c
from recsys_kedro.metrics.evaluation import HEADLINE, HYBRID, Evaluation, TaskEvaluation

_SUBJECT: Final = {
    c.TASK_ALL: "all products, repeats included",
    c.TASK_NEW: "products new to the user",
}
_NOBODY: Final = "0"


class Outcome(StrEnum):
    """How the hybrid compares with the best baseline, judged by the paired interval."""

    HYBRID_WINS = "hybrid wins"
    BASELINE_WINS = "baseline wins"
    NO_WINNER = "no clear winner"
    NO_CONTEST = "no contest"


@dataclass(frozen=True)
class TaskVerdict:
    """One task in words."""

    outcome: Outcome
    subject: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """The evaluation in words; ``outcome`` is the tasks' common one, else NO_WINNER."""

    outcome: Outcome
    title: str
    tasks: tuple[TaskVerdict, ...]


def give_verdict(evaluation: Evaluation) -> Verdict:
    """Put the headline of every task into plain English."""
    tasks = tuple(_judge(name, task) for name, task in evaluation.tasks.items())
    outcomes = {task.outcome for task in tasks}
    if len(outcomes) == 1:
        outcome = outcomes.pop()
        return Verdict(outcome, _common_title(outcome, evaluation), tasks)
    parts = [f"{_on(task.outcome)} on {task.subject}" for task in tasks]
    title = "; ".join(parts)
    return Verdict(Outcome.NO_WINNER, title[0].upper() + title[1:] + ".", tasks)


def outcome_of(task: TaskEvaluation) -> Outcome:
    """Judge one task: the sign counts only if the paired interval leaves out zero."""
    baseline = task.differences.baseline
    if baseline is None or HYBRID not in task.differences.models or not task.users:
        return Outcome.NO_CONTEST
    difference = task.differences.models[HYBRID]
    if difference.low is not None and difference.low > 0:
        return Outcome.HYBRID_WINS
    if difference.high is not None and difference.high < 0:
        return Outcome.BASELINE_WINS
    return Outcome.NO_WINNER


def _on(outcome: Outcome) -> str:
    return {
        Outcome.HYBRID_WINS: "the hybrid wins",
        Outcome.BASELINE_WINS: "a baseline wins",
        Outcome.NO_WINNER: "no clear winner",
        Outcome.NO_CONTEST: "nothing to compare",
    }[outcome]


def _common_title(outcome: Outcome, evaluation: Evaluation) -> str:
    where = "on both tasks" if len(evaluation.tasks) == 2 else "on every task"
    ends = {
        Outcome.HYBRID_WINS: "The hybrid wins",
        Outcome.BASELINE_WINS: "A baseline wins",
        Outcome.NO_WINNER: "No clear winner: hybrid and best baseline cannot be told apart",
        Outcome.NO_CONTEST: "Hybrid and baselines were not both evaluated: nothing to compare",
    }
    return f"{ends[outcome]} {where}."


def _judge(name: str, task: TaskEvaluation) -> TaskVerdict:
    outcome = outcome_of(task)
    subject = _SUBJECT[name]
    if not task.users:
        return TaskVerdict(outcome, subject, ("No user with a history took any in the window.",))
    if outcome is Outcome.NO_CONTEST:
        best = task.ranking[0]
        sentence = f"Of what was evaluated, {best} is best: NDCG@10 {task.headline(best):.3f}."
        return TaskVerdict(outcome, subject, (sentence,))
    sentences = [_headline_sentence(outcome, task), _interval_sentence(outcome, task)]
    sentences += [line for line in (_history_sentence(task), _newcomer_sentence(task)) if line]
    return TaskVerdict(outcome, subject, tuple(sentences))


def _headline_sentence(outcome: Outcome, task: TaskEvaluation) -> str:
    baseline = str(task.differences.baseline)
    hybrid, rival = task.headline(HYBRID), task.headline(baseline)
    if outcome is Outcome.HYBRID_WINS:
        return f"The hybrid wins: NDCG@10 {hybrid:.3f}, best baseline ({baseline}) {rival:.3f}."
    if outcome is Outcome.BASELINE_WINS:
        return f"A baseline wins: {baseline} reaches NDCG@10 {rival:.3f}, the hybrid {hybrid:.3f}."
    return (
        f"The hybrid ({hybrid:.3f}) and the best baseline, {baseline} ({rival:.3f}), cannot be "
        f"told apart by NDCG@10."
    )


def _interval_sentence(outcome: Outcome, task: TaskEvaluation) -> str:
    difference = task.differences.models[HYBRID]
    value, low, high = difference.value or 0.0, difference.low or 0.0, difference.high or 0.0
    rival = task.headline(str(task.differences.baseline))
    share = f" ({value / rival:+.1%})" if rival > 0 else ""
    chance = ", so it could be chance" if outcome is Outcome.NO_WINNER else ""
    return (
        f"User by user the hybrid's difference is {value:+.3f}{share}, interval "
        f"{low:+.3f} to {high:+.3f}, over {task.users:,} users{chance}."
    )


def _history_sentence(task: TaskEvaluation) -> str:
    """Where by history length the hybrid is ahead and where not, the newcomers left out."""
    baseline = str(task.differences.baseline)
    ahead: list[str] = []
    behind: list[str] = []
    for name, group in task.slices.get("history_length", {}).items():
        if name == _NOBODY or not group.users:
            continue
        hybrid = group.models[HYBRID][HEADLINE].value or 0.0
        rival = group.models[baseline][HEADLINE].value or 0.0
        unit = "event" if name == "1" else "events"
        text = f"{name} {unit} ({group.users:,} users: {hybrid:.3f} against {rival:.3f})"
        (ahead if hybrid > rival else behind).append(text)
    parts = []
    if not ahead + behind:
        return ""
    if ahead:
        parts.append("it is ahead for users with " + ", ".join(ahead))
    if behind:
        parts.append("it is not ahead for users with " + ", ".join(behind))
    where = "; ".join(parts)
    return f"By length of history {where}. The intervals below say how sure that is."


def _newcomer_sentence(task: TaskEvaluation) -> str:
    group = task.slices.get("history_length", {}).get(_NOBODY)
    if group is None or not group.users:
        return ""
    ndcg = {model: figures[HEADLINE].value or 0.0 for model, figures in group.models.items()}
    best = max(sorted(ndcg), key=ndcg.__getitem__)
    rest = "" if best == HYBRID else f", against {ndcg[HYBRID]:.3f} of the hybrid"
    return (
        f"For the {group.users:,} users without any event before the cut, who are not in the "
        f"headline, {best} is best ({ndcg[best]:.3f}{rest})."
    )
