"""What makes detections of a map of scores: those that are the largest of their neighbourhood, and of all the K largest."""

from dataclasses import dataclass, replace

import numpy as np

from ...rtl.arch.window import Window
from ..golden.activation import ActivationTable
from ..golden.add import AddParameters
from ..golden.matmul import MatMulParameters
from ..graph import Add, Block, MatMul, MatMulPart, Operator, Table, Tensor, TopK
from .onnx_file import Node
from .operands import Operands
from .rowwise import Rowwise, covered, last_axis
from .tokens import INDEX, NUMBERS, counted
from .values import Index, Pending, View

FAR = 255  # steps: as far as two numbers of 8 bits can be apart


@dataclass(frozen=True, kw_only=True, eq=False)
class Alike(Rowwise):
    """1 where an element of ``a`` is the largest of its neighbourhood, of which ``b`` has the largest; else 0."""

    b: Block
    operands: Operands

    @classmethod
    def of(cls, node: Node, x: View, y: View, operands: Operands) -> View:
        """Where x == y, one of which is a MaxPool of the other one. Raises ValueError on others."""
        for some, largest in ((x, y), (y, x)):
            (a, index), (b, other) = covered(some), covered(largest)
            pool = operands.writers.get(b.tensor)
            alike = some.scale == largest.scale and np.array_equal(index, other)
            if alike and isinstance(pool, MatMul) and _is_around(pool, a, b):
                return View(source=cls(node=node, a=a, scale=some.scale, b=b, operands=operands), index=index)
        raise ValueError("it is supported only between a map and its MaxPool in steps of one pixel, quantized alike")

    def times(self, node: Node, index: Index, x: View) -> View:
        """``x`` where it is the largest, else 0."""
        a, place = covered(x)
        if not (a.tensor is self.a.tensor and a.slices == self.a.slices and np.array_equal(index, place)):
            raise ValueError("where a map equals its MaxPool only the map itself can be taken")
        if a.tensor.zero_point != a.tensor.format.min:
            raise ValueError(f"{a.tensor} must hold no negative numbers: its zero point must be {a.tensor.format.min}")
        return View(source=Kept(node=node, a=a, scale=self.scale, negative=self._negative(node)), index=index)

    def _negative(self, node: Node) -> Tensor:
        """Of b: -1 - q is the highest number for the lowest one."""
        b, limits = self.b, self.b.tensor.format
        name, zero_point = self.operands.names.unique(f"{b.tensor.name}.negative"), -1 - b.tensor.zero_point
        tensor = replace(b.tensor, name=name, rows=b.rows, cols=b.cols, zero_point=zero_point)
        entries = ActivationTable(tuple(-1 - q for q in range(limits.min, limits.max + 1)))
        operator = self.operands.operator_names.unique(f"{node.name}.negative")
        self.operands.add(Table(name=operator, node=node.name, a=b, out=tensor.whole, parameters=entries))
        return tensor

    def placed(self, name: str, out: Block) -> Operator:
        raise ValueError("where a map equals its MaxPool is only taken times that map, without QuantizeLinear in between")


def _is_around(pool: MatMul, a: Block, b: Block) -> bool:
    """Whether each element of b is the largest of a window of a that has the same place in it."""
    (part, *others), window = pool.parts, pool.window
    if not pool.maximum or not window or others or part.a.tensor is not a.tensor:
        return False
    alike = (a.tensor.scale, a.tensor.zero_point) == (b.tensor.scale, b.tensor.zero_point)
    return part.a.slices == a.slices and part.out.slices == b.slices and alike and _has_each_pixel(window)


def _has_each_pixel(window: Window) -> bool:
    """Whether there is a window for each pixel, and that pixel in it."""
    taps = zip(window.pads[:2], window.kernel, window.dilations, strict=True)
    own = all(pad % dilation == 0 and pad // dilation < size for pad, size, dilation in taps)
    return own and window.strides == (1, 1) and (window.lines, window.columns) == (window.height, window.width)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept(Rowwise):
    """``a`` where nothing near it is larger, else 0: ``a - FAR * (largest - a)``, and at least 0. negative: of the largest near each."""

    negative: Tensor

    def placed(self, name: str, out: Block) -> Add:
        a, limits = self.a.tensor, out.tensor.format
        if (out.tensor.scale, out.tensor.zero_point, out.tensor.bits) != (self.scale, a.zero_point, a.bits):
            raise ValueError("its result must be quantized as the map is")
        parameters = AddParameters.from_scales(
            a_scale=1.0 + FAR,
            a_zero_point=a.zero_point,
            b_scale=float(FAR),
            b_zero_point=self.negative.zero_point,
            out_scale=1.0,
            out_zero_point=a.zero_point,
            out=limits,
        )
        return Add(name=name, node=self.node.name, a=self.a, b=self.negative.whole, out=out, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class Places(Pending):
    """Places in a row that has ``count`` columns for each of the numbers ``rows``, each at the one of the numbers ``cols``."""

    node: Node
    rows: Tensor
    cols: Tensor
    count: int

    @property
    def size(self) -> int:
        return self.rows.cols

    def layouts(self) -> list[Index]:
        return [np.arange(self.size)[None]]

    def operator(self, name: str, out: Tensor, place: Index) -> Operator:
        raise ValueError(f"of its indices only what Div and Mod by {self.count} make can be used")

    def taken(self, node: Node, value: View, operands: Operands) -> View:
        """Div or Mod of them."""
        divisor = operands.constant(node, 1)
        if divisor is None or divisor.array.size != 1 or divisor.array.item() != self.count:
            raise ValueError(f"indices of {self.node.name} can only be divided by {self.count}, the pixels of a channel")
        return replace(value, source=self.rows if node.op_type == "Div" else self.cols)


def top(node: Node, operands: Operands) -> list[View]:
    """The values of ONNX TopK and where they stand: of one row, in the order of the row. Raises ValueError on others."""
    view, k, attributes = operands.view(node, 0), operands.constant(node, 1), node.attributes
    last_axis(node, view)
    if attributes.get("sorted", 1) or not attributes.get("largest", 1) or k is None or k.array.size != 1:
        raise ValueError("only a constant number of the largest in the order of the row is supported: sorted = 0, largest = 1")
    if view.shape[-1] != view.index.size:
        raise ValueError(f"only of one row the largest can be found, not of {list(view.shape)}")
    a, count = _rows(node, view, operands), int(k.array.item())
    shape, numbers = (*view.shape[:-1], count), {"rows": 1, "cols": count, **NUMBERS}
    values = replace(a.tensor, name=operands.names.unique(node.outputs[0]), rows=1, cols=count)
    rows, cols = (Tensor(name=operands.names.unique(f"{node.outputs[1]}.{axis}"), **numbers) for axis in ("rows", "cols"))
    operands.counts |= {rows: counted(a.rows, "rows"), cols: counted(a.cols, "columns")}
    name = operands.operator_names.unique(node.name)
    operands.add(TopK(name=name, node=node.name, a=a, values=values.whole, rows=rows.whole, cols=cols.whole))
    index = np.arange(count).reshape(shape)
    alone = a.rows == 1 and not operands.readers.are_read_by(node.outputs[1], ("Div", "Mod"))
    places = cols if alone else Places(node=node, rows=rows, cols=cols, count=a.cols)
    return [View(source=values, index=index, scale=view.scale), View(source=places, index=index, integers=INDEX)]


def _rows(node: Node, view: View, operands: Operands) -> Block:
    """The block of which the view has row after row; of a map, whose pixels are rows, a new one with a row for each channel."""
    block, index = covered(view)
    place = index.reshape(-1)
    if np.array_equal(place, np.arange(place.size)) and (block.cols > 1 or block.rows == 1):
        return block
    if not np.array_equal(place.reshape(block.cols, block.rows).T, np.arange(place.size).reshape(block.rows, block.cols)):
        raise ValueError(f"its elements are neither those of the stored {block} row after row, nor column after column")
    return _turned(node, block, operands)


def _turned(node: Node, block: Block, operands: Operands) -> Block:
    """The block with its columns as rows: the product of ones on a diagonal and of it."""
    t, size, name = block.tensor, block.cols, operands.names.unique
    ones = Tensor(name=name(f"diagonal.{size}"), rows=size, cols=size, bits=8, scale=1.0, zero_point=0, data=np.eye(size, dtype=np.int8))
    turned = replace(t, name=name(f"{t.name}.turned"), rows=size, cols=block.rows)
    parameters = MatMulParameters.from_scales(
        a_scale=1.0,
        a_zero_point=0,
        b_scale=np.array(t.scale),
        b_zero_point=t.zero_point,
        bias=np.zeros(block.rows),
        out_scale=t.scale,
        out_zero_point=t.zero_point,
        out=t.format,
        channels=block.rows,
    )
    part = MatMulPart(a=ones.whole, b=block, out=turned.whole)
    operator = operands.operator_names.unique(f"{node.name}.turned")
    operands.add(MatMul(name=operator, node=node.name, parts=(part,), b_transposed=True, parameters=parameters))
    return turned.whole
