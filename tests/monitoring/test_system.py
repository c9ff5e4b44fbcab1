from recsys_kedro import columns as c
from recsys_kedro.monitoring.answers import answers_of
from recsys_kedro.monitoring.system import system_figures


def test_four_answers(make_shown, by_name):
    shown = make_shown(
        {c.LATENCY_MS: 10.0, c.FROM_CACHE: True},
        {c.LATENCY_MS: 20.0, c.FALLBACK: "model_failed"},
        {c.LATENCY_MS: 100.0, c.FALLBACK: "unknown_user", c.USER_ID: "ben"},
        {c.LATENCY_MS: 200.0, c.RECOMMENDATION_ID: "x"},
        {c.LATENCY_MS: 200.0, c.RECOMMENDATION_ID: "x", c.POSITION: 2},
    )
    figures = by_name(system_figures(answers_of(shown), 100, ("model_failed",)))
    values = {name: figure.value for (name, part), figure in figures.items() if part == "all"}
    assert values == {
        "answers": 4,
        "users": 2,
        "latency_p50": (20 + 100) / 2,
        "latency_p95": 100 + (200 - 100) * (0.95 * 3 - 2),
        "latency_p99": 100 + (200 - 100) * (0.99 * 3 - 2),
        "slow_share": 1 / 4,
        "cached_share": 1 / 4,
        "failed_share": 1 / 4,
    }


def test_no_answers_are_counted_and_nothing_else(make_shown, by_name):
    figures = by_name(system_figures(answers_of(make_shown()), 100, ("model_failed",)))
    assert figures["answers", "all"].value == 0
    assert figures["latency_p99", "all"].value is None
    assert figures["failed_share", "all"].value is None
