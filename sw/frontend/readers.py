"""How later operations will read a value: what decides in which order its elements are stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .convolution import in_patches, operand_rows, pixels, window_of
from .movement import MOVES
from .onnx_file import Node, OnnxModel
from .values import Index, corner, inverse, matrices

# Operations on each element.
POINTWISE = {
    "Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Erf", "Exp",
    "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal",
    "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tan", "Tanh",
    "ThresholdedRelu",
}  # fmt: skip

# Their result is stored as their operand is, in whatever order; the two of Add must lie alike, those of Mul as its readers want both.
ANYHOW = POINTWISE - {"Add"}

# Their result is stored as their first operand is.
FOLLOW = ANYHOW | {"QuantizeLinear", "DequantizeLinear", "Softmax"}


def _adds_maps(node: Node, index: Index) -> bool:
    """Whether it is an Add of feature maps, which lie as the readers of the sum want them."""
    return node.op_type == "Add" and index.ndim == 4


@dataclass(frozen=True)
class Reading:
    """An operand as [..., R, C] matrices whose rows must be neighbours in memory, or also columns if ``either``."""

    index: Index
    either: bool = False

    def fits(self, place: Index, cols: int) -> bool:
        """Whether each matrix is a block when element e is at ``place[e]`` in a tensor of ``cols`` columns."""
        stored = place[self.index]
        return any(
            all(corner(m.T if transposed else m, cols) for m in matrices(stored))
            for transposed in ((False, True) if self.either else (False,))
        )


def mean_operand(axes: NDArray | None, index: Index) -> tuple[tuple[int, ...], Index]:
    """A mean's axes, and its operand as [..., axes, last of the others] matrices.

    Raises ValueError but on one axis that is not the last, or on all but the first two.
    """
    found = tuple(sorted({int(axis) % index.ndim for axis in axes})) if axes is not None and index.ndim > 1 else ()
    if index.ndim > 2 and found == tuple(range(2, index.ndim)):
        return found, pixels(index)
    if len(found) != 1:
        raise ValueError("only the mean over one axis or over all pixels is supported")
    if found[0] == index.ndim - 1:
        raise ValueError("the mean over the last axis is not supported")
    return found, np.moveaxis(index, found[0], -2)


class Readers:
    """Answers which operations read a value of one model."""

    def __init__(self, model: OnnxModel):
        self.constants = model.constants
        self.dequantized = {node.outputs[0]: node.inputs[0] for node in model.nodes if node.op_type == "DequantizeLinear"}
        self.consumers: dict[str, list[tuple[Node, int]]] = {}
        for node in model.nodes:
            for slot, name in enumerate(node.inputs):
                self.consumers.setdefault(name, []).append((node, slot))

    def integers(self, node: Node, slot: int) -> NDArray | None:
        """The constant integers of an input such as Reshape's shape; None where it is left out."""
        if slot >= len(node.inputs) or not node.inputs[slot]:
            return None
        value = self.constants.get(node.inputs[slot])
        if value is None or value.dtype.kind != "i" or value.ndim > 1:
            raise ValueError(f"its input {node.inputs[slot]} must be a constant list of integers")
        return value

    def are_read_by(self, name: str, op_types: Sequence[str]) -> bool:
        """Whether some operation of these types reads the value ``name``."""
        return any(reader.op_type in op_types for reader, _ in self.consumers.get(name, ()))

    def read_only_by(self, node: Node, op_type: str) -> bool:
        """Whether all that reads the node's first output is of this type."""
        return {reader.op_type for reader, _ in self.consumers.get(node.outputs[0], ())} == {op_type}

    def _kernel(self, node: Node) -> tuple[int, int]:
        """Of a Conv: an attribute, or the size of its weights. Raises ValueError where neither is known."""
        shape = node.attributes.get("kernel_shape")
        if shape is None:
            name = node.inputs[1]
            weights = self.constants.get(self.dequantized.get(name, name))
            if weights is None or weights.ndim != 4:
                raise ValueError("its weights are not a constant of four dimensions")
            shape = weights.shape[2:]
        return int(shape[0]), int(shape[1])

    def mean_axes(self, node: Node) -> NDArray | None:
        """ReduceMean's axes: an attribute before opset 18, then an input; GlobalAveragePool's are the pixels."""
        if node.op_type == "GlobalAveragePool":
            return np.array([2, 3])
        axes = node.attributes.get("axes")
        return self.integers(node, 1) if axes is None else np.asarray(axes)

    def readings(self, name: str, index: Index) -> list[Reading]:
        """Every reading of the value ``name`` whose elements have the numbers ``index``."""
        return list(self._readings(name, index, set()))

    def _readings(self, name: str, index: Index, seen: set[str]) -> Iterator[Reading]:
        if name in seen:
            return
        seen.add(name)
        for node, slot in self.consumers.get(name, ()):
            if node.op_type in MOVES and not (node.op_type == "Gather" and node.inputs[1] not in self.constants):
                try:
                    moved = MOVES[node.op_type](node, self.integers, index)
                except (ValueError, IndexError):
                    continue  # told when the node itself is imported
                for output, part in zip(node.outputs, moved, strict=False):
                    yield from self._readings(output, part, seen)
                continue
            try:
                yield from self._operand(node, slot, index)
            except ValueError:
                continue
            if node.op_type in FOLLOW or _adds_maps(node, index):
                yield from self._readings(node.outputs[0], index, seen)

    def _operand(self, node: Node, slot: int, index: Index) -> Iterator[Reading]:
        match node.op_type:
            case "QuantizeLinear" | "DequantizeLinear" | "Equal" | "TopK":
                return
            case "Concat" if index.ndim > 1:
                yield Reading(np.moveaxis(index, node.attributes["axis"], -1).reshape(1, -1, index.shape[node.attributes["axis"]]))
            case kind if kind in ANYHOW or _adds_maps(node, index):
                return
            case "MatMul" if index.ndim >= 2:
                yield Reading(index, either=slot == 1)
            case "Gemm" if index.ndim == 2 and slot < 2:
                flipped = node.attributes.get("transB" if slot else "transA", 0)
                yield Reading(index.T if flipped else index, either=slot == 1)
            case "Conv" if index.ndim == 4:
                groups = int(node.attributes.get("group", 1))
                window = window_of(node, self._kernel(node), *index.shape[2:], groups=groups)
                yield Reading(operand_rows(window, index, in_patches(window)))
            case "AveragePool" | "MaxPool" | "GlobalMaxPool" | "ConvTranspose" | "Resize" | "DeformConv" if index.ndim == 4:
                yield Reading(pixels(index))
            case "ReduceMean" | "GlobalAveragePool":
                yield Reading(mean_operand(self.mean_axes(node), index)[1], either=True)
            case _ if index.ndim >= 1:
                yield Reading(index.reshape(-1, index.shape[-1]))

    def layout(self, name: str, index: Index, layouts: Sequence[Index]) -> Index:
        """The first of ``layouts`` in which all readers of the value find blocks, else the first."""
        readings = self.readings(name, index)

        def suits(layout: Index) -> bool:
            place = inverse(layout)
            return all(reading.fits(place, layout.shape[1]) for reading in readings)

        return next(filter(suits, layouts), layouts[0])

    def input_layouts(self, name: str, index: Index) -> list[Index]:
        """Layouts of a graph input: in its own order, then as each of its readers wants it."""
        wanted = [reading.index.reshape(-1, reading.index.shape[-1]) for reading in self.readings(name, index)]
        natural = index.reshape(-1, index.shape[-1] if index.ndim else 1)
        size = index.size
        return [
            x for x in [natural, *wanted] if x.size == size and np.array_equal(np.bincount(x.reshape(-1), minlength=size), np.ones(size))
        ]
