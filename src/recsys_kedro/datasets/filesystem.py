"""Where a dataset lies: on a disk, or on any other filesystem that fsspec knows."""

from typing import Any

import fsspec
from kedro.io.core import get_protocol_and_path


def located(filepath: str) -> tuple[Any, str]:
    """The filesystem of a path or URL, and the path there; a disk makes folders on save."""
    protocol, path = get_protocol_and_path(filepath)
    options = {"auto_mkdir": True} if protocol == "file" else {}
    return fsspec.filesystem(protocol, **options), path
