"""How the examples that are transformers are quantized: as `celosia quantize` does it, with zero points of 0. Needs no PyTorch.

int8 matrix products with per-channel weights; int16 for the residual stream, the attention scores and the logits.
"""

from collections.abc import Iterable
from pathlib import Path

import onnx
from celosia.sw.frontend.onnx_file import checked
from celosia.sw.quantize.static import quantized
from numpy.typing import NDArray


def quantize(source: Path, target: Path, name: str, arrays: Iterable[NDArray]) -> None:
    """Write the QDQ network of a float one, with the ranges of these arrays of its input ``name``."""
    proto, model = checked(source)
    onnx.save(quantized(proto, model, ({name: array[None]} for array in arrays), symmetric=True), target)
