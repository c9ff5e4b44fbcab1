"""How a server is set up: one class, read from the environment of the process.

``RECSYS_REDIS_URL=redis://… mlflow models serve …`` sets ``redis_url``, and so on. What belongs
to the model travels with the model; here is only what differs from server to server.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys_kedro.streams.options import Setting, refuse_own_settings


class ServingOptions(BaseSettings):
    """Options of one server. Empty URLs and folders switch the part off."""

    model_config = SettingsConfigDict(
        env_prefix="RECSYS_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    redis_url: SecretStr | None = Field(
        None, description="online store and cache; empty: the snapshot that came with the model"
    )
    redis_timeout_ms: float = Field(20, gt=0, description="of connecting and of each answer, ms")
    redis_retry_after_s: float = Field(
        2, gt=0, description="pause after failures before Redis is asked again, seconds"
    )
    cache_size: int = Field(
        50_000, ge=0, description="lists kept by a worker without Redis; 0: no cache"
    )
    cache_seconds: float = Field(300, gt=0, description="how long a ranked list may be reused")
    impressions_folder: Path | None = Field(
        None, description="where Parquet files of what was shown go; empty: not logged"
    )
    impressions_topic: str = Field(
        "", description="Kafka topic that what was shown goes to, in place of the folder"
    )
    impressions_timeout_s: float = Field(
        10, gt=0, description="for the delivery of some answers to the topic, seconds"
    )
    kafka_bootstrap_servers: str = Field("", description="host:port[,host:port …]")
    kafka_client: Mapping[str, Setting] = Field(
        default_factory=dict, description="JSON object of further settings, by librdkafka's names"
    )
    impressions_rows_per_file: int = Field(
        100_000, ge=1, description="shown products after which a Parquet file is made"
    )
    impressions_seconds: float = Field(
        300, gt=0, description="age of the oldest row at which a Parquet file is made, seconds"
    )
    impressions_queue: int = Field(
        10_000, ge=1, description="answers that may wait to be logged; more are dropped"
    )
    inputs_share: float = Field(
        0.01, ge=0, le=1, description="of the answers, to log what the model was given, as sample"
    )
    metrics_host: str = Field(
        "127.0.0.1", description="address that the metrics listen on; 0.0.0.0: every one"
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="of the Prometheus metrics; empty: none are served"
    )
    json_logs: bool = Field(
        default=False, description="one JSON object a line on standard error, from every package"
    )
    rules_file: Path | None = Field(
        None, description="YAML or JSON of the shop's business rules, see ranking.rules"
    )
    experiments_file: Path | None = Field(
        None, description="YAML of the A/B tests, see experiments.declarations; empty: none"
    )
    seasons_file: Path | None = Field(
        None, description="YAML with the shop's `seasons`, see recsys_kedro.seasons; empty: none"
    )
    diversity: float = Field(
        0.2, ge=0, le=1, description="0: by relevance alone; costs nothing up to here, see docs"
    )
    exploration_kind: Literal["epsilon_greedy", "softmax"] = Field(
        "epsilon_greedy", description="see ranking.exploration"
    )
    exploration: float = Field(0.0, ge=0, le=0.5, description="share of explored positions")

    _own_settings = field_validator("kafka_client")(refuse_own_settings)

    @model_validator(mode="after")
    def _a_topic_has_a_broker(self) -> Self:
        if self.impressions_topic and not self.kafka_bootstrap_servers:
            msg = "RECSYS_IMPRESSIONS_TOPIC needs RECSYS_KAFKA_BOOTSTRAP_SERVERS"
            raise ValueError(msg)
        return self
