"""Arrays of a safetensors file, left in the file: processes on a machine share one copy."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.torch import load_file


def mapped_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays by name; the file stays where it is while they are in use."""
    # safetensors' own function for NumPy reads the file; the one for torch maps it.
    return {name: tensor.numpy() for name, tensor in load_file(path).items()}
