"""Resize: nearest neighbours at twice the size."""

from dataclasses import dataclass

import numpy as np

from ..graph import Block, Tensor, Upsample
from .convolution import pixels
from .onnx_file import Node
from .operands import Operands
from .pointwise import evaluated
from .rowwise import covered
from .values import Index, Pending, View


@dataclass(frozen=True, kw_only=True, eq=False)
class Upsampled(Pending):
    """Element e of the result belongs to the map that has each pixel of ``a`` as 2 x 2, lines of 2 * width pixels, counted row by row."""

    node: Node
    a: Block
    width: int
    scale: float

    @property
    def size(self) -> int:
        return 4 * self.a.rows * self.a.cols

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(-1, self.a.cols)]

    def operator(self, name: str, out: Tensor, place: Index) -> Upsample:
        a = self.a.tensor
        if (out.scale, out.zero_point, out.bits) != (self.scale, a.zero_point, a.bits):
            raise ValueError("its result must be quantized as its operand is")
        return Upsample(name=name, node=self.node.name, a=self.a, out=out.whole, width=self.width)


def resized(node: Node, operands: Operands) -> View:
    """x [B, C, H, W], as ONNX Resize. Raises ValueError unless each pixel becomes 2 x 2."""
    x = operands.feature_map(node, 0)
    if (
        len(x.shape) != 4
        or _sizes(node, operands, x.shape) != (*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        or not _repeats(node, operands)
    ):
        raise ValueError("only nearest neighbours at twice the size of a 2-D map are supported")
    batch, channels, height, width = x.shape
    a, place = covered(View(source=x.source, index=pixels(x.index).reshape(-1, channels)))
    if not np.array_equal(place, np.arange(place.size).reshape(place.shape)):
        raise ValueError(f"its operand's pixels are not rows of the stored tensor {a.tensor}")
    index = np.arange(4 * place.size).reshape(batch, 2 * height, 2 * width, channels).transpose(0, 3, 1, 2)
    return View(source=Upsampled(node=node, a=a, width=width, scale=x.scale), index=index)


def _sizes(node: Node, operands: Operands, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Of the result; None where not all are given."""
    scales, sizes = operands.constant(node, 2), operands.constant(node, 3) if len(node.inputs) > 3 else None
    if "axes" in node.attributes or (scales is None or not scales.array.size) == (sizes is None):
        return None
    if sizes is not None:
        return tuple(int(size) for size in sizes.array)
    assert scales
    return tuple(int(size) for size in np.floor(np.array(shape) * scales.array.astype(np.float64)))


def _repeats(node: Node, operands: Operands) -> bool:
    """Whether the node, at twice the size, repeats the pixels of a small map."""
    small = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    found = evaluated(node, [small, None, np.array([1, 1, 2, 2], np.float32)], operands.model.opset)
    return np.array_equal(found, small.repeat(2, axis=2).repeat(2, axis=3))
