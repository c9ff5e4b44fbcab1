from recsys_kedro.serving.health import Health, HealthReport


def test_ready_once_the_model_has_answered():
    health = Health()
    assert health.report() == HealthReport(ready=False, degraded={}, model="")
    health.ready("hybrid", "7")
    assert health.report() == HealthReport(ready=True, degraded={}, model="hybrid/7")


def test_a_part_in_trouble_degrades_and_recovers():
    problems = {"redis": "does not answer", "impressions": None}
    health = Health()
    health.ready("hybrid", "7")
    for part in problems:
        health.watch(part, lambda part=part: problems[part])
    assert health.report() == HealthReport(True, {"redis": "does not answer"}, "hybrid/7")
    problems["redis"] = None
    assert health.report().degraded == {}


def test_what_cannot_be_looked_at_is_not_well(caplog):
    health = Health()
    health.watch("redis", lambda: str(1 / 0))
    assert health.report().degraded == {"redis": "ZeroDivisionError: division by zero"}
    assert "the health of redis is not known" in caplog.text
