"""The layers of a float network that have weights, and these as matrices [K, N]: a column for each output channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frontend.convolution import window_of
from ..frontend.onnx_file import Node, OnnxModel

CHANNELS = {"Conv": 0, "DeformConv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}  # the axis of the weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A node whose input 1 is constant. array: that input, whose ``axis`` counts output channels."""

    node: Node
    array: NDArray[np.float32]
    axis: int

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def weights(self) -> str:
        return self.node.inputs[1]

    @property
    def source(self) -> str:
        return self.node.inputs[0]

    @property
    def result(self) -> str:
        return self.node.outputs[0]

    @property
    def matrix(self) -> NDArray[np.float32]:
        moved = np.moveaxis(self.array, self.axis, -1)
        return moved.reshape(-1, moved.shape[-1])

    @property
    def parts(self) -> int:
        """How many equal parts of the columns are multiplied with rows of their own: a convolution's groups."""
        return int(self.node.attributes.get("group", 1))

    def operands(self, source: NDArray) -> NDArray[np.float64] | None:
        """[parts, R, K]: the rows that the matrix is multiplied with, where its layer reads ``source``; None of other convolutions."""
        kind, array = self.node.op_type, source.astype(np.float64)
        if kind == "Conv" and self.array.ndim == 4:
            return self._windows(array)
        if not self.takes_groups:
            return None
        turned = self.node.attributes.get("transA", 0)
        return (array.T if turned else array.reshape(-1, array.shape[-1]))[None]

    def _windows(self, source: NDArray) -> NDArray[np.float64]:
        """[groups, windows, [channels, taps]] of a map [B, C, H, W]."""
        kernel, size = self.array.shape[2:], source.shape[2:]
        w = window_of(self.node, (kernel[0], kernel[1]), size[0], size[1], groups=self.parts)
        above, left, below, right = w.pads
        padded = np.pad(source, ((0, 0), (0, 0), (above, below), (left, right)))
        lines, columns = ((np.arange(n) * stride) for n, stride in zip((w.lines, w.columns), w.strides, strict=True))
        taps = [padded[:, :, lines[:, None] + y * w.dilations[0], columns + x * w.dilations[1]] for y, x in np.ndindex(w.kernel)]
        batch, channels = source.shape[:2]
        parted = np.stack(taps, axis=2).reshape(batch, w.groups, channels // w.groups * w.taps, -1)
        return parted.transpose(1, 0, 3, 2).reshape(w.groups, -1, parted.shape[2])

    @property
    def takes_groups(self) -> bool:
        """Whether its weights may have scales of groups along K."""
        return self.node.op_type in ("MatMul", "Gemm") and self.array.ndim == 2

    def shaped(self, matrix: NDArray) -> NDArray:
        """A matrix of [K, N], or fewer rows, as the weights lie."""
        rest = np.delete(self.array.shape, self.axis) if len(matrix) == len(self.matrix) else [len(matrix)]
        return np.moveaxis(matrix.reshape(*rest, matrix.shape[-1]), -1, self.axis)


def layers_of(model: OnnxModel) -> dict[str, Layer]:
    """By the names of their weights; of those that share them the first."""
    found: dict[str, Layer] = {}
    for node in model.nodes:
        array = model.constants.get(node.inputs[1]) if node.op_type in CHANNELS else None
        if array is not None and array.ndim > 1 and node.inputs[0] not in model.constants:
            found.setdefault(node.inputs[1], Layer(node=node, array=array, axis=_axis(node) % array.ndim))
    return found


def _axis(node: Node) -> int:
    if node.op_type == "Gemm" and node.attributes.get("transB", 0):
        return 0
    return CHANNELS[node.op_type]
