"""The networks, made once in the checkout's build folder: the float one, and those with weights of 8 and of 4 bits."""

from pathlib import Path

import numpy as np
from celosia.sw.quantize.network import quantize_network
from celosia.sw.quantize.ranges import Ranges
from celosia.sw.quantize.recipe import Recipe
from numpy.typing import NDArray

from ..gpt.text import read_part
from .text import CONTEXT, encode

BUILD = Path(__file__).parents[2] / "build" / "minilm"
FLOAT_MODEL = BUILD / "float.onnx"
RECIPES = {8: Recipe(ranges=Ranges.MSE, smooth=0.6), 4: Recipe(ranges=Ranges.MSE, smooth=0.5, weight_bits=4, weight_group=32)}


def calibration() -> NDArray[np.int64]:
    """The verses of Ruth, as examples/gpt has it for that, [N, CONTEXT]: each again and again, up to CONTEXT tokens, so that the ends of
    sentences are as frequent as in short ones."""
    return np.stack([np.resize(encode(verse), CONTEXT) for verse in read_part("calibration").splitlines()])


def float_model() -> Path:
    """For CONTEXT tokens. Needs the `minilm` extra."""
    if not FLOAT_MODEL.exists():
        from .export import write_network  # which takes PyTorch

        BUILD.mkdir(parents=True, exist_ok=True)
        write_network(FLOAT_MODEL)
    return FLOAT_MODEL


def qdq_model(bits: int) -> Path:
    """For CONTEXT tokens, with weights of so many bits."""
    target = BUILD / f"w{bits}a8.onnx"
    if not target.exists():
        source, samples = float_model(), BUILD / "calibration.npz"
        np.savez(samples, tokens=calibration())
        quantize_network(source, samples, target, RECIPES[bits])
    return target
