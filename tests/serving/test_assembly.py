"""From the options of a server to its parts."""

import orjson

from recsys_kedro import columns as c
from recsys_kedro.serving.assembly import Parts, assemble
from recsys_kedro.serving.options import ServingOptions
from recsys_kedro.serving.pyfunc_model import MODEL, SNAPSHOT


def test_what_was_shown_goes_to_a_topic(logged_model, shop_snapshot, broker):
    topic = broker.new_topic()
    folder = logged_model / "artifacts"
    service = assemble(
        Parts(folder / MODEL, folder / SNAPSHOT, None, "corner", "7"),
        ServingOptions(impressions_topic=topic, kafka_bootstrap_servers=broker.servers),
    )
    user = shop_snapshot.histories[c.USER_ID][0]
    (answer,) = service.answer([{"user_id": user, "k": 3}], shop_snapshot.as_of)
    service.impressions.close()
    (message,) = broker.messages(topic)
    told = orjson.loads(message.value())
    assert message.key().decode() == user
    assert told[c.RECOMMENDATION_ID] == answer.recommendation_id
    assert told[c.PRODUCT_ID] == [item.product_id for item in answer.items]
