"""The layers of a float network that have weights, and these as matrices [K, N]: a column for each output channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

    def rows(self, source: NDArray) -> NDArray:
        """What the matrix is multiplied with, [R, K], of what is read by a layer that takes groups."""
        turned = self.node.attributes.get("transA", 0)
        return source.T if turned else source.reshape(-1, source.shape[-1])

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
