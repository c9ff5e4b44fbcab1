"""The table of faults, over HTTP: whatever is asked, a useful answer, and never a traceback."""

import json
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_kedro import columns as c
from recsys_kedro.columns import EVENT_TYPES
from recsys_kedro.features.options import FeatureOptions
from recsys_kedro.fitting import queries_at
from recsys_kedro.queries import Queries
from recsys_kedro.serving.event_feed import FeedOptions, feed_events
from recsys_kedro.serving.materialisation import materialise
from recsys_kedro.serving.recommender import RecommenderService
from recsys_kedro.serving.redis_link import connect

# Loading a model and the scoring server pass through MLflow's own code, which warns of itself.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="session")
def user(shop_snapshot):
    """Somebody with a history."""
    counts = shop_snapshot.histories[c.USER_ID].value_counts(sort=True)
    return counts[c.USER_ID][0]


def sound(answer, k=10):
    """A list as long as was asked for, of products that are named once, in order."""
    assert answer["error"] is None
    ids = [item[c.PRODUCT_ID] for item in answer["items"]]
    assert len(ids) == len(set(ids)) == k
    assert [item["rank"] for item in answer["items"]] == list(range(1, k + 1))
    for item in answer["items"]:
        assert 0 < item["propensity"] <= 1
        assert np.isfinite(item["score"])
        assert item["reason"]
        assert item["source"]
    return ids


def test_a_known_user(server, user):
    (answer,) = server.ask({"user_id": user})
    sound(answer)
    assert answer["fallback"] is None
    assert answer["model"] == "hybrid"
    assert len(answer["recommendation_id"]) == 32
    assert answer["latency_ms"] > 0


def test_the_second_time_out_of_the_cache(server, user):
    first, second = (server.ask({"user_id": user, "k": 7})[0] for _ in range(2))
    assert (first["from_cache"], second["from_cache"]) == (False, True)
    assert first["items"] == second["items"]
    assert first["recommendation_id"] != second["recommendation_id"]
    (third,) = server.ask({"user_id": user, "k": 7, "events": [{"product_id": "P00001"}]})
    assert third["from_cache"] is False


def test_an_unknown_user_is_asked_the_quiz_and_its_answer_counts(server):
    (answer,) = server.ask({"user_id": "nobody"})
    popular = sound(answer)
    assert answer["fallback"] == "unknown_user"
    question = answer["onboarding"][0]
    liked = [product[c.PRODUCT_ID] for product in question["products"]][:2]
    quiz = [{"question": question["question"], "liked": liked}]
    (after,) = server.ask({"user_id": "nobody", "onboarding": quiz})
    assert after["fallback"] is None
    assert sound(after) != popular
    assert not set(liked) & set(sound(after))
    assert after["onboarding"] is None


@pytest.mark.parametrize(
    "events",
    [
        [{"product_id": "no such product", "event_type": "click"}],
        [{"product_id": "'; DROP TABLE \n ☕", "event_type": "purchase"}],
        [{"product_id": "P00001", "timestamp": "2199-01-01T00:00:00Z"}],
        [{"product_id": "P00001", "timestamp": "1970-01-01T00:00:00Z"}],
        [{"product_id": f"P{number:05}"} for number in range(10_000)],
    ],
    ids=["unknown", "hostile", "clock ahead", "clock behind", "10,000"],
)
def test_events_of_any_kind(server, user, events):
    for who in (user, "nobody"):
        (answer,) = server.ask({"user_id": who, "events": events})
        sound(answer)


@pytest.mark.parametrize("id_", ['"', "a\nb", "🛒", "x" * 10_000, "\x00", "u'; --"])
def test_ids_of_any_kind(server, id_):
    (answer,) = server.ask({"user_id": id_})
    sound(answer)
    assert answer["user_id"] == id_


@pytest.mark.parametrize("k", [1, 150, 1_000])
def test_lists_of_any_length(server, user, k, shop_snapshot):
    (answer,) = server.ask({"user_id": user, "k": k, "filter_purchased": False})
    for_sale = shop_snapshot.popular.height
    assert for_sale < 1_000
    sound(answer, min(k, for_sale))


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"user_id": "u", "k": 0}, "k:"),
        ({"user_id": "u", "k": float("nan")}, "k:"),
        ({"user_id": "u", "price": {"low": float("inf")}}, "price.low:"),
        ({"user_id": "u", "exploration": 0.9}, "exploration:"),
        ({"user_id": "u", "diversity": -1}, "diversity:"),
        ({"user_id": None}, "user_id:"),
        ({"user_id": "u", "events": [{"product_id": "p"}] * 10_001}, "events:"),
        ({}, "user_id:"),
    ],
)
def test_a_bad_request_is_told_so_and_its_neighbours_are_answered(server, user, request_, named):
    bad, good = server.ask(request_, {"user_id": user})
    assert bad["error"].startswith(named)
    assert bad["items"] == []
    sound(good)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"inputs": "x"}',
        b'{"inputs": [1]}',
        b'{"inputs": {"user_id": "u"}}',
        b"\xff\xfe\xfa",
        b'{"inputs": [{"user_id": "\xff"}]}',
        b'{"inputs": [' + b'{"user_id": "u"},' * 3,
        b'{"dataframe_split": {"columns": [], "data": []}}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_list_of_requests_is_refused_without_a_traceback(server, body):
    response = server.post(body)
    assert response.status_code == 400
    assert "Traceback" not in response.text
    assert 'File "' not in response.text


def test_a_body_of_10_mb(server, user):
    (answer,) = server.ask({"user_id": user, "context": {"search_query": "x" * 10_000_000}})
    sound(answer)


def test_half_a_character_is_an_error_of_its_request(server):
    response = server.post(b'{"inputs": [{"user_id": "\\ud800"}, {"user_id": "u"}]}')
    bad, good = response.json()["predictions"]
    assert bad["error"].startswith("user_id:")
    sound(good)


def test_who_has_everything_gets_something(server, shop_snapshot):
    events = [
        {"product_id": id_, "event_type": "purchase"}
        for id_ in shop_snapshot.products[c.PRODUCT_ID].to_list()
    ]
    (answer,) = server.ask({"user_id": "collector", "events": events})
    sound(answer)
    assert answer["fallback"] == "nothing_left"


def test_weights_that_were_cut_short_cost_quality_not_the_answer(
    start_answering, logged_model, tmp_path, user, caplog
):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in logged_model.rglob("*"):
        if path.is_file():
            copy = damaged / path.relative_to(logged_model)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    weights = damaged / "artifacts" / "model" / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    (answer,) = start_answering(damaged).ask({"user_id": user})
    sound(answer)
    assert answer["fallback"] == "model_failed"
    assert "cannot be loaded" in caplog.text


@pytest.fixture
def with_redis(redis_server, start_answering):
    """A server with a Redis of its own, which is not started yet."""
    return start_answering(redis_url=redis_server.url, redis_retry_after_s=0.2)


def fill(redis_server, snapshot):
    with connect(redis_server.url, 5) as client:
        return materialise(client, "corner", snapshot, 500, 1)


def test_an_event_counts_in_the_next_request(with_redis, redis_server, shop_snapshot, user):
    redis_server.start()
    assert fill(redis_server, shop_snapshot).written == 400
    (before,) = with_redis.ask({"user_id": user})
    assert sound(before)[0] != sound(with_redis.ask({"user_id": "nobody"})[0])[0]
    assert with_redis.ask({"user_id": user})[0]["from_cache"] is True
    bought = before["items"][0][c.PRODUCT_ID]
    with connect(redis_server.url, 5) as client:
        event = {
            "user_id": user, "product_id": bought, "event_type": "purchase",
            "timestamp": shop_snapshot.as_of.isoformat(),
        }  # fmt: skip
        assert feed_events(client, "corner", [event], FeedOptions()).accepted == 1
    (after,) = with_redis.ask({"user_id": user})
    assert after["from_cache"] is False
    assert bought not in sound(after)
    assert after["removed"]["purchased"] == before["removed"].get("purchased", 0) + 1


def test_redis_gives_what_the_snapshot_gives(with_redis, redis_server, server, shop_snapshot, user):
    redis_server.start()
    fill(redis_server, shop_snapshot)
    one, other = (which.ask({"user_id": user, "k": 20})[0] for which in (with_redis, server))
    assert sound(one, 20) == sound(other, 20)
    scores = [[item["score"] for item in each["items"]] for each in (one, other)]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_redis_that_is_down_at_the_start_and_comes_later(
    with_redis, redis_server, shop_snapshot, user
):
    (answer,) = with_redis.ask({"user_id": user})
    sound(answer)
    assert answer["degraded"] == "store_down"
    redis_server.start()
    fill(redis_server, shop_snapshot)
    time.sleep(0.3)
    (answer,) = with_redis.ask({"user_id": user, "k": 9})
    sound(answer, 9)
    assert answer["degraded"] is None


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_redis_in_trouble_under_load(with_redis, redis_server, shop_snapshot, user, trouble):
    redis_server.start()
    fill(redis_server, shop_snapshot)
    degraded = []
    for number in range(60):
        if number == 20:
            getattr(redis_server, trouble)()
        (answer,) = with_redis.ask({"user_id": user, "k": 1 + number % 30})
        sound(answer, 1 + number % 30)
        degraded.append(answer["degraded"])
    assert degraded[:20] == [None] * 20
    assert set(degraded[20:]) <= {"store_down", None}
    assert "store_down" in degraded


def test_redis_that_is_full(with_redis, redis_server, shop_snapshot, user):
    redis_server.start("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    for _ in range(3):
        (answer,) = with_redis.ask({"user_id": user})
        sound(answer)


@pytest.mark.parametrize("garbage", [b"\x00\xff\xfe", b"[]", b'{"as_of": "x"}', b"9" * 100_000])
def test_redis_that_holds_what_we_did_not_write(with_redis, redis_server, user, garbage):
    redis_server.start()
    with connect(redis_server.url, 5) as client:
        client.set(f"recsys:corner:user:{user}", garbage)
        client.set(f"recsys:corner:events:{user}", garbage)
        (answer,) = with_redis.ask({"user_id": user})
        sound(answer)
        assert answer["degraded"] == "garbage"
        for key in client.scan_iter("recsys:corner:list:*"):
            client.set(key, garbage)
        sound(with_redis.ask({"user_id": user})[0])


texts = st.text(max_size=20)
numbers = st.floats() | st.integers()
scraps = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
PLACES = ("time", "device_type", "session_id", "category", "product_id")
events = st.fixed_dictionaries(
    {"product_id": texts | scraps},
    optional={
        "event_type": st.sampled_from(EVENT_TYPES) | scraps,
        "timestamp": st.datetimes().map(str) | scraps,
        "price": numbers | scraps,
        "quantity": numbers | scraps,
    },
)
requests = st.fixed_dictionaries(
    {"user_id": texts | scraps},
    optional={
        "k": st.integers(-1, 60) | scraps,
        "events": st.lists(events, max_size=4) | scraps,
        "context": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(PLACES, texts | scraps)
        ),
        "filter_purchased": st.booleans() | scraps,
        "exclude": st.lists(texts) | scraps,
        "category": texts | scraps,
        "price": st.fixed_dictionaries({}, optional={"low": numbers, "high": numbers}) | scraps,
        "diversity": st.floats(0, 1) | scraps,
        "exploration": st.floats(0, 0.5) | scraps,
        "onboarding": st.lists(st.fixed_dictionaries({"question": texts}), max_size=2) | scraps,
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(requests, min_size=1, max_size=4))
def test_whatever_is_asked_is_answered_one_by_one(server, batch):
    response = server.post(json.dumps({"inputs": batch}))
    assert response.status_code == 200, response.text
    answers = response.json()["predictions"]
    assert len(answers) == len(batch)
    for answer in answers:
        limited = answer["removed"].keys() & {"other_category", "price"}
        assert (answer["error"] is None) == bool(answer["items"]) or limited
        assert answer["fallback"] != "model_failed"


def test_a_fault_of_our_own_is_an_error_without_its_cause(
    start_answering, monkeypatch, caplog, user
):
    own = start_answering()
    monkeypatch.setattr(RecommenderService, "answer", lambda *_: 1 / 0)
    (answer,) = own.ask({"user_id": user})
    assert answer["error"] == "internal error, see the server's log"
    assert answer["user_id"] == user
    assert "ZeroDivisionError" in caplog.text


def test_live_lists_are_those_of_the_offline_path(
    server, shop, shop_events, shop_split, shop_model, shop_snapshot
):
    """Histories and profiles out of the tables, as in training: same products, same scores."""
    as_of = shop_split.as_of
    users = shop_events.select(c.USER_ID).unique().sort(c.USER_ID).head(40)
    tables = (shop_events, shop.products, shop.users)
    queries = queries_at(users, *tables, as_of, FeatureOptions())
    requests = queries.requests.with_columns(pl.lit(value=True).alias(c.LIVE))
    offline = Queries(requests, queries.history, queries.offsets)
    best = shop_model.recommend(offline, 100, exclude_seen=True)
    best = best.join(shop_snapshot.popular, on=c.PRODUCT_ID, how="semi", maintain_order="left")
    answers = server.ask(
        *(
            {"user_id": user, "k": 20, "diversity": 0, "context": {"time": as_of.isoformat()}}
            for user in requests[c.USER_ID]
        )
    )
    for query, answer in enumerate(answers):
        expected = best.filter(pl.col(c.QUERY) == query).head(20)
        assert expected.height == 20
        assert sound(answer, 20) == expected[c.PRODUCT_ID].to_list()
        scores = [item["score"] for item in answer["items"]]
        np.testing.assert_allclose(scores, expected[c.SCORE], atol=1e-5)
