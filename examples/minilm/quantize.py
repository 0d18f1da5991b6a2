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
RECIPES = {8: Recipe(ranges=Ranges.MSE, smooth=0.5), 4: Recipe(ranges=Ranges.MSE, smooth=0.5, weight_bits=4, weight_group=32)}


def windows(text: str) -> NDArray[np.int64]:
    """All verses of a text, a line each, one behind the other, cut into sequences of CONTEXT tokens: [N, CONTEXT]."""
    tokens = [encode(verse)[0] for verse in text.splitlines()]
    first, last = tokens[0][0], tokens[0][-1]
    inner = np.concatenate([verse[1:-1] for verse in tokens])
    rows = inner[: len(inner) // (CONTEXT - 2) * (CONTEXT - 2)].reshape(-1, CONTEXT - 2)
    return np.pad(np.pad(rows, ((0, 0), (1, 0)), constant_values=first), ((0, 0), (0, 1)), constant_values=last)


def float_model() -> Path:
    """For CONTEXT tokens. Needs the `minilm` extra."""
    if not FLOAT_MODEL.exists():
        from .export import write_network  # which takes PyTorch

        BUILD.mkdir(parents=True, exist_ok=True)
        write_network(FLOAT_MODEL)
    return FLOAT_MODEL


def qdq_model(bits: int) -> Path:
    """For CONTEXT tokens, with weights of so many bits. Calibrated on Ruth, as examples/gpt has it."""
    target = BUILD / f"w{bits}a8.onnx"
    if not target.exists():
        source, samples = float_model(), BUILD / "calibration.npz"
        np.savez(samples, tokens=windows(read_part("calibration")))
        quantize_network(source, samples, target, RECIPES[bits])
    return target
