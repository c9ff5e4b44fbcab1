import math
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from recsys_kedro.experiments.checks import Guardrail, GuardrailCheck, Harm, SplitCheck
from recsys_kedro.experiments.results import (
    SCHEMA_VERSION,
    Comparison,
    ExperimentResult,
    ExperimentResults,
    Figure,
    GuardrailResult,
    MetricResult,
    effects_frame,
)
from recsys_kedro.experiments.schemas import EXPERIMENT_EFFECTS
from recsys_kedro.experiments.verdict import ExperimentPlan, cannot_be_judged

START = datetime(2025, 3, 3, tzinfo=UTC)
ROW = {
    "treatment": 1.1,
    "control": 1.0,
    "difference": 0.1,
    "difference_low": -math.inf,
    "difference_high": math.inf,
    "relative": math.nan,
    "relative_low": math.nan,
    "relative_high": math.nan,
    "p_value": 0.5,
    "p_holm": 1.0,
    "p_bh": None,
    "saving": 0.25,
}


@pytest.fixture
def results():
    comparison = Comparison(
        users=2,
        users_control=3,
        metrics={"ctr": MetricResult.of(ROW, {**ROW, "treatment": 1.2})},
        guardrails=(),
        monthly_revenue=None,
        wearing_off=None,
        days=(),
        ages=(),
        positions=(),
        segments={},
    )
    result = ExperimentResult(
        start=START,
        end=START,
        control="old",
        plan=ExperimentPlan(planned_units=5),
        primary="revenue_per_user",
        confidence=0.95,
        split=SplitCheck({"old": 3, "new": 2}, {"old": 0.5, "new": 0.5}, 0.65),
        crossovers=0,
        purchases=0,
        unpriced_purchases=0,
        verdicts={"new": cannot_be_judged("it is a test.")},
        comparisons={"new": comparison},
    )
    return ExperimentResults(
        schema_version=SCHEMA_VERSION, as_of=START, experiments={"e": result}, undeclared=()
    )


def test_what_is_written_is_read(results):
    assert ExperimentResults.model_validate_json(results.model_dump_json()) == results


def test_what_sets_no_bound_is_empty(results):
    effect = results.experiments["e"].comparisons["new"].metrics["ctr"]
    assert effect.difference == Figure(value=0.1, low=None, high=None)
    assert effect.relative == Figure(value=None, low=None, high=None)
    with pytest.raises(ValidationError, match="finite"):
        Figure(value=math.nan, low=0, high=1)


@pytest.mark.parametrize(
    ("margins", "relative", "margin"),
    [({"relative_margin": 0.05}, True, 0.05), ({"absolute_margin": 0.0}, False, 0.0)],
)
def test_a_guardrail_says_in_which_unit_it_is(margins, relative, margin):
    guardrail = Guardrail(metric="latency", **margins)
    found = GuardrailResult.of(GuardrailCheck(guardrail, Harm.POSSIBLE, 0.1, -math.inf, math.inf))
    assert (found.relative, found.margin) == (relative, margin)
    assert found.worse == Figure(value=0.1, low=None, high=None)


def test_effects_are_rows_of_the_schema(results):
    table = EXPERIMENT_EFFECTS.validate(effects_frame(results))
    row = table.row(0, named=True)
    assert (row["experiment"], row["variant"], row["metric"]) == ("e", "new", "ctr")
    assert (row["users"], row["users_control"]) == (2, 3)
    assert (row["treatment"], row["observed_treatment"]) == (1.1, 1.2)
    assert (row["difference"], row["difference_low"], row["relative"]) == (0.1, None, None)


def test_without_experiments_the_table_is_empty(results):
    none = results.model_copy(update={"experiments": {}})
    assert EXPERIMENT_EFFECTS.validate(effects_frame(none)).is_empty()
