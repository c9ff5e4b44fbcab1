import pytest
from pydantic import ValidationError

from recsys_kedro.monitoring.figures import FIGURES
from recsys_kedro.pipelines.monitoring.options import MonitoringOptions


def test_a_threshold_of_an_unknown_figure_names_the_known_ones():
    with pytest.raises(ValidationError, match=r"no figure 'crt', only ctr, conversion, .*psi"):
        MonitoringOptions(thresholds={"crt": {"minimum": 1, "alert": {"fall": 0.5}}})


def test_every_figure_can_have_a_threshold():
    threshold = {"minimum": 1, "warning": {"above": 1}}
    assert MonitoringOptions(thresholds=dict.fromkeys(FIGURES, threshold)).thresholds


def test_the_reference_holds_a_window():
    assert MonitoringOptions(window_hours=48, reference_days=2)
    with pytest.raises(ValidationError, match="no whole window of 49 hours"):
        MonitoringOptions(window_hours=49, reference_days=2)


def test_the_webhook_is_a_secret():
    options = MonitoringOptions(webhook_url="https://example.org/token")
    assert "token" not in options.model_dump_json()
