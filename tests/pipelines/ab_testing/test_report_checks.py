import pytest

from recsys_kedro.experiments.results import Figure
from recsys_kedro.pipelines.ab_testing.nodes import analyse_experiments
from recsys_kedro.pipelines.ab_testing.report_checks import Outcome, checks_of


@pytest.fixture(scope="module")
def result(simulated, options, end):
    experiments, log = simulated(lift=0.5)
    tables = (log.impressions, log.events, log.products)
    return analyse_experiments(*tables, experiments, options(), str(end)).experiments["ranker"]


@pytest.fixture
def outcome(result):
    """How one check ends, after fields of the result or of its comparison are changed."""

    def ends(name, days=21.0, changed=None, **fields):
        comparison = result.comparisons["new"].model_copy(update=changed or {})
        checks = checks_of(result.model_copy(update=fields), comparison, days)
        return {check.name: check for check in checks}[name].outcome

    return ends


def test_all_is_well(result):
    checks = checks_of(result, result.comparisons["new"], 21.0)
    found = {check.name: check.outcome for check in checks}
    assert found.pop("As many users as planned") is Outcome.OPEN, "2,6xx of 3,000"
    assert set(found.values()) == {Outcome.PASSED}
    assert next(iter(found)) == "The split is as declared"


@pytest.mark.parametrize(
    ("crossovers", "expected"), [(0, "passed"), (10, "passed"), (100, "failed")]
)
def test_crossovers(outcome, crossovers, expected):
    assert outcome("A user sees one variant", crossovers=crossovers) == expected


@pytest.mark.parametrize(("planned", "expected"), [(100, "passed"), (9_999, "open")])
def test_size(outcome, result, planned, expected):
    plan = result.plan.model_copy(update={"planned_units": planned})
    assert outcome("As many users as planned", plan=plan) == expected
    assert outcome("As many users as planned", plan=None) == "failed"


@pytest.mark.parametrize(("days", "expected"), [(6.9, "open"), (7.0, "passed")])
def test_weeks(outcome, days, expected):
    assert outcome("At least a week", days) == expected


@pytest.mark.parametrize(("unpriced", "expected"), [(0, "passed"), (1, "passed"), (2, "failed")])
def test_prices(outcome, unpriced, expected):
    fields = {"purchases": 100, "unpriced_purchases": unpriced}
    assert outcome("Purchases have prices", **fields) == expected


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (None, "open"),
        ((1.0, None, None), "open"),
        ((-1.0, -2.0, 0.1), "passed"),
        ((-1.0, -2.0, -0.1), "failed"),
        ((1.0, 0.1, 2.0), "passed"),
    ],
)
def test_novelty_of_a_gain(outcome, late, expected):
    figure = late and Figure(value=late[0], low=late[1], high=late[2])
    assert outcome("The effect lasts", changed={"wearing_off": figure}) == expected


@pytest.mark.parametrize(
    ("harm", "expected"), [("safe", "passed"), ("uncertain", "open"), ("harmed", "failed")]
)
def test_guardrails(outcome, result, harm, expected):
    guardrail = result.comparisons["new"].guardrails[0].model_copy(update={"harm": harm})
    changed = {"guardrails": (guardrail,)}
    assert outcome("Guardrail: mean latency in ms", changed=changed) == expected
