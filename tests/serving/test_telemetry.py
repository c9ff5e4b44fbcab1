import math
import os
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recsys_kedro.serving.requests import RecommendationAnswer, RecommendedItem
from recsys_kedro.serving.telemetry import LATENCIES, Telemetry


def answer(*scores, source="ease", **more):
    items = [
        RecommendedItem(
            product_id=f"p{rank}",
            rank=rank,
            score=score,
            source=source,
            reason="",
            name=None,
            category=None,
            price=None,
        )
        for rank, score in enumerate(scores, start=1)
    ]
    return RecommendationAnswer(user_id="ann", items=items, model="m", model_version="1", **more)


def samples(text):
    """Value by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(telemetry):
    return samples(telemetry.exposition().decode())


@pytest.fixture
def telemetry():
    return Telemetry()


def test_the_buckets_tell_half_a_millisecond_from_a_quarter_second():
    assert LATENCIES[0] == 0.0005
    assert sum(0.0005 <= bound <= 0.25 for bound in LATENCIES) >= 12
    assert list(LATENCIES) == sorted(set(LATENCIES))


def test_each_stage_has_its_times(telemetry):
    telemetry.observe("rank", 0.004)
    telemetry.observe("rank", 0.020)
    telemetry.observe("check", 0.0001)
    told = read(telemetry)
    assert told["recsys_stage_seconds_count", "rank"] == 2
    assert told["recsys_stage_seconds_sum", "rank"] == pytest.approx(0.024)
    assert told["recsys_stage_seconds_bucket", "0.003", "rank"] == 0
    assert told["recsys_stage_seconds_bucket", "0.005", "rank"] == 1
    assert told["recsys_stage_seconds_bucket", "0.0005", "check"] == 1


def test_a_stage_is_timed_and_its_errors_counted(telemetry):
    with telemetry.stage("rank"):
        pass
    with pytest.raises(ZeroDivisionError), telemetry.stage("rank"):
        _ = 1 / 0
    told = read(telemetry)
    assert told["recsys_stage_seconds_count", "rank"] == 2
    assert told["recsys_errors_total", "rank"] == 1


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(2.0, 1.0), "model"),
        (answer(2.0, fallback="unknown_user"), "fallback"),
        (answer(), "empty"),
        (answer(error="k: too large"), "refused"),
    ],
)
def test_an_answer_is_counted_by_what_came_of_it(telemetry, given, outcome):
    given.latency_ms = 7.0
    telemetry.answered(given)
    told = read(telemetry)
    assert {
        labels: value for labels, value in told.items() if labels[0] == "recsys_requests_total"
    } == {("recsys_requests_total", outcome): 1}
    assert told["recsys_stage_seconds_sum", "total"] == pytest.approx(7 / 1_000)


def test_fallbacks_by_kind_and_products_by_source(telemetry):
    telemetry.answered(answer(3.0, 2.0, source="popular", fallback="unknown_user"))
    telemetry.answered(answer(1.0, source="history"))
    telemetry.candidates({"history": 3, "ease": 100})
    telemetry.candidates({"ease": 50})
    told = read(telemetry)
    assert told["recsys_fallbacks_total", "unknown_user"] == 1
    assert told["recsys_shown_total", "popular"] == 2
    assert told["recsys_shown_total", "history"] == 1
    assert told["recsys_candidates_total", "ease"] == 100 + 50
    assert told["recsys_candidates_total", "history"] == 3


def test_the_spread_of_the_scores_is_within_one_list_and_the_models_own(telemetry):
    telemetry.answered(answer(10.0, 9.5, 9.75))
    telemetry.answered(answer(-1.0, -1.0))
    telemetry.answered(answer(900.0, 1.0, fallback="unknown_user"))
    told = read(telemetry)
    assert told["recsys_score_spread_count",] == 2
    assert told["recsys_score_spread_sum",] == pytest.approx((10 - 9.5) + 0)
    assert told["recsys_score_spread_bucket", "0.0"] == 1  # tells nothing apart


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_does_not_spoil_the_sum(telemetry, score):
    telemetry.answered(answer(score, 1.0))
    telemetry.answered(answer(3.0, 1.0))
    told = read(telemetry)
    assert told["recsys_score_spread_sum",] == 3 - 1
    assert told["recsys_errors_total", "score"] == 1


def test_a_degraded_answer_is_an_error_of_the_store(telemetry):
    telemetry.answered(answer(1.0, degraded="redis does not answer"))
    assert read(telemetry)["recsys_errors_total", "store"] == 1


def test_the_cache_the_store_and_the_log(telemetry):
    for hit in (True, True, False):
        telemetry.cache_lookup(hit=hit)
    telemetry.store_breaker(is_open=True)
    telemetry.impressions_queued(5)
    telemetry.impressions_dropped(2)
    telemetry.impressions_failed()
    told = read(telemetry)
    assert told["recsys_cache_lookups_total", "hit"] == 2
    assert told["recsys_cache_lookups_total", "miss"] == 1
    assert told["recsys_store_breaker_open",] == 1
    assert told["recsys_impressions_queued",] == 5
    assert told["recsys_impressions_dropped_total",] == 2
    assert told["recsys_impressions_failures_total",] == 1
    telemetry.store_breaker(is_open=False)
    assert read(telemetry)["recsys_store_breaker_open",] == 0


def test_a_worker_without_the_variable_counts_for_itself(telemetry):
    assert not telemetry.counts_for_all
    telemetry.ready("hybrid", "7")
    assert telemetry.workers_ready() == 1
    other = Telemetry()
    assert other.workers_ready() == 0
    assert read(telemetry)["recsys_workers_ready", "hybrid", "7"] == 1


def test_with_the_variable_a_folder_is_made_and_workers_add_up(tmp_path):
    folder = tmp_path / "new" / "metrics"
    script = (
        "import os\n"
        "from recsys_kedro.serving.telemetry import Telemetry\n"
        "telemetry = Telemetry()\n"
        "telemetry.ready('hybrid', '7')\n"
        "telemetry.observe('rank', 0.004)\n"
        "telemetry.impressions_queued(3)\n"
        "print(telemetry.counts_for_all, telemetry.workers_ready())\n"
        "print(telemetry.exposition().decode())\n"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    for number in (1, 2):
        if number == 2:
            (folder / "counter_0.db").touch()  # as of a worker that is just making it
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        said, text = done.stdout.split("\n", 1)
        assert said == "True 1"  # those that have ended are ready no more
        told = samples(text)
        assert told["recsys_stage_seconds_count", "rank"] == number
        assert told["recsys_impressions_queued",] == 3
