"""How a Kafka-protocol broker is reached, and how its events are landed."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from recsys_kedro import columns as c
from recsys_kedro.options import Options

KAFKA_PARTITION, KAFKA_OFFSET = "kafka_partition", "kafka_offset"
OTHER_FIELDS = "other_fields"
OF_OURS = (KAFKA_PARTITION, KAFKA_OFFSET, OTHER_FIELDS, c.SOURCE_ROW, c.MALFORMED)
DECIDED_HERE = (
    "bootstrap.servers", "metadata.broker.list", "group.id", "enable.auto.commit",
    "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof", "enable.idempotence",
)  # fmt: skip

EVENT_FIELDS = (
    c.EVENT_ID,
    c.EVENT_TYPE,
    c.USER_ID,
    c.PRODUCT_ID,
    c.TIMESTAMP,
    c.SESSION_ID,
    c.DEVICE_TYPE,
    "context",
    c.CATEGORY,
    c.PRICE,
    c.SEARCH_QUERY,
    c.QUANTITY,
    c.RECOMMENDATION_ID,
)
"""The fields of an event in the data contract, flat or within ``context``."""


def _as_text(value: object) -> object:
    """YAML reads ``true`` and ``1000`` as no text; librdkafka takes text for everything."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Setting = Annotated[SecretStr, BeforeValidator(_as_text)]


def refuse_own_settings(client: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """The settings themselves.

    Raises:
        ValueError: one of them is decided by this package.
    """
    taken = sorted(set(client) & set(DECIDED_HERE))
    if taken:
        msg = f"{', '.join(taken)} cannot be set here: no loss and no doubles depend on it"
        raise ValueError(msg)
    return client


class Connection(Options):
    """The way to a broker. Every client setting is kept like a secret; some are."""

    bootstrap_servers: str = Field("", description="host:port[,host:port …]")
    client: Mapping[str, Setting] = Field(
        default_factory=dict,
        description="further settings by librdkafka's names: security.protocol, sasl.password, …",
    )

    _own_settings = field_validator("client")(refuse_own_settings)


class LandingOptions(Connection):
    """Which topic is landed where. Without ``bootstrap_servers`` nothing is."""

    topic: str = Field("events", pattern=r"^[A-Za-z0-9._-]+$")
    folder: str = Field(description="path or URL that fsspec knows; for the files of all topics")
    group: str = Field(
        "recsys_landing", description="consumer group whose commits tell the lag to monitoring"
    )
    fields: tuple[str, ...] = Field(
        EVENT_FIELDS, description="of a message, that get a column; the rest is kept as JSON"
    )
    required_fields: tuple[str, ...] = Field(
        (c.USER_ID, c.PRODUCT_ID, c.TIMESTAMP),
        description="among fields; a message without one is a dead letter",
    )
    rows_per_file: int = Field(500_000, ge=1, description="bounds the memory")
    bytes_per_file: int = Field(
        2**28, ge=1, description="of messages, bytes; bounds the memory where they are large"
    )
    on_gap: Literal["fail", "count"] = Field(
        "fail", description="when the broker no longer has messages that were not landed yet"
    )
    dead_letter_topic: str = Field(
        "", description="gets a copy of every dead letter, at least once; empty: files only"
    )
    timeout_s: float = Field(
        30, gt=0, description="silence of the broker after which the landing fails, seconds"
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        unknown = sorted(set(self.required_fields) - set(self.fields))
        if unknown:
            msg = f"required_fields: {', '.join(unknown)} not among fields"
            raise ValueError(msg)
        taken = sorted(set(self.fields) & set(OF_OURS))
        if taken:
            msg = f"fields: {', '.join(taken)} name columns of the landing itself"
            raise ValueError(msg)
        return self
