"""Parameters of the A/B tests' analysis."""

from pydantic import Field

from recsys_kedro.experiments.analysis import AnalysisOptions
from recsys_kedro.experiments.verdict import ExperimentPlan


class AbTestingOptions(AnalysisOptions):
    """How all experiments are analysed, and what was planned for each."""

    plans: dict[str, ExperimentPlan] = Field(
        {}, description="by experiment, made before it begins; without one there is no verdict"
    )
