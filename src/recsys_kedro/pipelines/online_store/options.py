"""Parameters of the online store."""

from pydantic import Field, SecretStr

from recsys_kedro.options import Options


class OnlineStoreOptions(Options):
    """Where users are written, and how."""

    redis_url: SecretStr | None = Field(
        None, description="redis://[user:password@]host:port/db; empty: nothing is written"
    )
    batch_users: int = Field(1_000, ge=1, description="users written on one trip")
    ttl_days: float = Field(40, gt=0, description="who is written no more is forgotten after it")
