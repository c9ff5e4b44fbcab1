"""The node of the rollback: thin around the model registry."""

from typing import Any

from recsys_kedro.model_registry import roll_back


def roll_back_champion(shop: str) -> dict[str, Any]:
    """Give the alias of the champion back to the version that it took the place of."""
    return roll_back(shop)
