import polars as pl
import pytest

from recsys_kedro.fitting import Choice
from recsys_kedro.promotion import Recipe, best_choice, decide, mean_of_tasks_by_user

USERS = [f"u{number}" for number in range(40)]


def choice(model, mean, **settings):
    figures = {"all_ndcg@10": mean, "new_ndcg@10": mean, "mean_ndcg@10": mean}
    return Choice(model=model, settings=settings, figures=figures, trials=[], epochs=[])


def truth(users=USERS, tasks=("all", "new")):
    rows = [(task, user, "wanted") for task in tasks for user in users]
    return pl.DataFrame(rows, schema=["task", "user_id", "product_id"], orient="row")


def lists(model, hits, users=USERS):
    """The first ``hits`` users get what they want on the first place, the others never."""
    rows = [
        (task, model, user, "wanted" if place < hits else "other", 1, 1.0)
        for task in ("all", "new")
        for place, user in enumerate(users)
    ]
    names = ["task", "model", "user_id", "product_id", "rank", "score"]
    return pl.DataFrame(rows, schema=names, orient="row")


def gate(candidate, champion, champion_hits, hits=30, margin=0.005):
    return decide(
        [candidate, choice("popularity", 0.1)],
        {candidate.model: lists(candidate.model, hits), "popularity": lists("popularity", 4)},
        champion,
        None if champion_hits is None else lists("champion", champion_hits),
        truth(),
        margin,
        resamples=200,
        confidence=0.95,
        seed=1,
    )


def test_best_choice_is_the_mean_of_both_tasks():
    assert best_choice([choice("a", 0.2), choice("b", 0.3), choice("c", 0.3)]).model == "b"


def test_first_model_is_promoted():
    decision = gate(choice("hybrid", 0.75), Recipe(), None)
    assert decision.promote
    assert decision.recipe.model == "hybrid"
    assert decision.against_champion is None


def test_best_baseline_is_promoted_when_it_is_best():
    decision = gate(choice("ease", 0.75), Recipe(), None)
    assert decision.recipe.model == "ease"
    assert "ease is best on validation" in decision.reasons[0]


def test_decision_says_in_words_that_a_baseline_beats_the_hybrid():
    def words(best, second):
        both = [choice(best, 0.3), choice(second, 0.2)]
        rivals = {best: lists(best, 30), second: lists(second, 20)}
        return decide(both, rivals, Recipe(), None, truth(), 0.005, 200, 0.95, seed=1).reasons[0]

    assert words("ease", "hybrid").endswith("so a baseline is the candidate.")
    assert words("hybrid", "ease").endswith("next ease, 0.2000).")


def test_new_recipe_that_is_worse_leaves_the_champion():
    worse = gate(choice("hybrid", 0.75), Recipe(model="ease"), champion_hits=40)
    assert not worse.promote
    assert worse.against_champion[0] == pytest.approx((30 - 40) / 40)


def test_refresh_passes_when_nothing_changed():
    recipe = Recipe(model="hybrid", settings={"width": 8})
    decision = gate(choice("hybrid", 0.75, width=8), recipe, champion_hits=30)
    assert decision.promote
    assert decision.against_champion == (0, 0, 0)


def test_refresh_fails_when_it_lost_more_than_the_margin():
    recipe = Recipe(model="hybrid", settings={"width": 8})
    decision = gate(choice("hybrid", 0.75, width=8), recipe, champion_hits=40)
    assert not decision.promote
    assert "failed" in decision.reasons[-1]


def test_refresh_may_lose_less_than_a_wide_margin():
    recipe = Recipe(model="hybrid", settings={"width": 8})
    assert gate(choice("hybrid", 0.7, width=8), recipe, champion_hits=31, margin=0.9).promote


def test_new_recipe_needs_an_interval_above_zero():
    champion = Recipe(model="ease", settings={"l2": 100})
    equal = gate(choice("hybrid", 0.75), champion, champion_hits=30)
    assert not equal.promote
    better = gate(choice("hybrid", 0.75), champion, champion_hits=10)
    assert better.promote
    assert better.against_champion[0] == pytest.approx((30 - 10) / 40)
    assert better.against_champion[1] > 0


def test_recipe_is_the_same_wherever_and_however_long_it_was_trained():
    one = Recipe(model="hybrid", settings={"training": {"stop_after": 3, "epochs": 5}})
    other = Recipe(model="hybrid", settings={"training": {"stop_after": 4, "epochs": 5}})
    third = Recipe(model="hybrid", settings={"training": {"stop_after": 3, "epochs": 6}})
    assert one.same_as(other)
    assert not one.same_as(third)
    assert not one.same_as(Recipe(model="ease", settings=one.settings))


def test_value_by_user_averages_to_the_mean_of_the_tasks():
    """One user is in task `all` only: two tasks of 2 and 1 users, NDCG 1/2 and 1."""
    both = pl.DataFrame(
        {
            "task": ["all", "all", "new"],
            "user_id": ["a", "b", "a"],
            "product_id": ["wanted"] * 3,
        }
    )
    by_user = mean_of_tasks_by_user(both, lists("m", 1, users=["a", "b"]))
    assert by_user["value"].mean() == pytest.approx((1 / 2 + 1) / 2)


def test_value_by_user_where_a_task_has_nobody():
    """Half the weight is with a task that nobody is in, as in the mean of a choice."""
    by_user = mean_of_tasks_by_user(truth(tasks=("all",)), lists("m", 10))
    assert by_user["value"].mean() == pytest.approx((10 / 40 + 0) / 2)
