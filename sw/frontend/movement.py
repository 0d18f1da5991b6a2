"""Operations that only reorder or select elements. They act on any array: on the index of a view, or on a constant."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .onnx_file import Node

Integers = Callable[[Node, int], NDArray | None]  # the constant integers of a node's input, None if absent
Move = Callable[[Node, Integers, NDArray], list[NDArray]]


def _required(node: Node, integers: Integers, slot: int) -> NDArray:
    values = integers(node, slot)
    if values is None:
        raise ValueError(f"its input {slot} is missing")
    return values


def _reshape(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    keep = not node.attributes.get("allowzero", 0)
    target = _required(node, integers, 1)
    return [x.reshape([x.shape[i] if d == 0 and keep else d for i, d in enumerate(target)])]


def _transpose(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    return [x.transpose(node.attributes.get("perm", range(x.ndim)[::-1]))]


def _squeeze(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    axes = integers(node, 1)
    return [x.squeeze(None if axes is None else tuple(axes))]


def _unsqueeze(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    return [np.expand_dims(x, tuple(_required(node, integers, 1)))]


def _flatten(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    axis = node.attributes.get("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return [x.reshape(int(np.prod(x.shape[:axis])), -1)]


def _split(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    axis, count = node.attributes.get("axis", 0), len(node.outputs)
    sizes = integers(node, 1)
    if sizes is None:
        sizes = [-(-x.shape[axis] // count)] * count
    stops = [min(int(stop), x.shape[axis]) for stop in np.cumsum([0, *sizes])]
    return [x.take(range(start, stop), axis) for start, stop in pairwise(stops)]


def _slice(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    starts, stops = _required(node, integers, 1), _required(node, integers, 2)
    axes, steps = integers(node, 3), integers(node, 4)
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    for start, stop, axis, step in zip(*(v.tolist() for v in (starts, stops, axes, steps)), strict=True):
        size = x.shape[axis]
        # a stop before the first element of a backward slice has no meaning in Python but None
        end = None if step < 0 and stop < -size else stop
        x = x.take(range(size)[slice(start, end, step)], axis)
    return [x]


def _gather(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    positions = _required(node, integers, 1)
    axis = node.attributes.get("axis", 0)
    if len(np.unique(positions % x.shape[axis])) != positions.size:
        raise ValueError("it repeats elements, which is not supported")
    return [x.take(positions, axis)]


def _identity(node: Node, integers: Integers, x: NDArray) -> list[NDArray]:
    return [x]


MOVES: dict[str, Move] = {
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Identity": _identity,
    "Dropout": _identity,
}
