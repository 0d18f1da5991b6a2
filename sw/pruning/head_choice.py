"""Which heads go on, by the sums of the magnitudes of their results over all layers so far (SpAtten, arXiv 2012.09852)."""

from collections.abc import Container, Iterator
from dataclasses import replace

import numpy as np

from ...rtl.arch.formats import INT8, INT16, Format
from .. import graph as ir
from ..compiler.errors import CompileError
from ..golden.activation import ActivationTable
from ..golden.add import AddParameters
from ..golden.matmul import MatMulParameters
from .layers import Layer
from .rewrite import are_beside, new_block

_LARGEST = 255  # that a magnitude can be


class HeadChoice:
    """Of a network with so many ``layers``. labels: a row of the numbers of the heads that are left; None for all."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self.labels: ir.Block | None = None
        self._importance: ir.Block | None = None  # of the heads that are left
        self._fewer: dict[str, tuple[ir.Tensor, ir.Block]] = {}  # the results of heads: what they have become, and of which heads

    def check(self, graph: ir.Graph, others: Container[str] = ()) -> None:
        """Raises CompileError where outputs of the network are results of heads, or other tensors of which parts are left out."""
        for port in graph.outputs:
            if port.tensor.name in self._fewer or port.tensor.name in others:
                raise CompileError(f"output {port.name} has values of each head, which can't be left out")

    def left(self, layer: Layer) -> int:
        """How many of the layer's heads are left."""
        return layer.heads if self.labels is None else self.labels.cols

    def results(self, layer: Layer) -> ir.Tensor:
        """Of the heads that are left, side by side. Raises CompileError where they lie otherwise, or are not int8."""
        out = layer.results
        if self.labels is None or out.name in self._fewer:
            return self._fewer.get(out.name, (out,))[0]
        _check(layer)
        left = self.left(layer)
        fewer = replace(out, name=f"{out.name}.{left}", cols=out.cols // layer.heads * left)
        self._fewer[out.name] = fewer, self.labels
        return fewer

    def copy(self, op: ir.Operator) -> Iterator[ir.Operator]:
        """An operator that is no attention. Raises CompileError where it needs the results of all heads."""
        fewer = [self._fewer[block.tensor.name] for block in op.inputs if block.tensor.name in self._fewer]
        return self._projected(op, *fewer[0]) if fewer else iter([op])

    def choose(self, layer: Layer, k: int) -> Iterator[ir.Operator]:
        """Leaves ``k`` heads after the layer. Raises CompileError where their results don't lie side by side, or are not int8."""
        _check(layer)
        name, node, out = f"{layer.softmax.name}.heads", layer.softmax.node, self.results(layer)
        heads = self.left(layer)
        sums = ir.Tensor(name=f"{name}.sums", rows=1, cols=heads, bits=16, scale=1.0, zero_point=0)
        yield from self._sums(name, node, out, sums)
        importance = sums.whole
        if self._importance is not None:
            importance = new_block(f"{name}.total", sums.whole)
            yield ir.Add(name=f"{name}.add", node=node, a=sums.whole, b=self._importance, out=importance, parameters=_plain_sum())
        if k < heads:
            labels = self.labels or ir.numbers_of(heads)
            self.labels, kept = new_block(f"{name}.picked", labels, cols=k), new_block(f"{name}.kept", importance, cols=k)
            for what, row, result in (("labels", labels, self.labels), ("scores", importance, kept)):
                yield ir.Pick(name=f"{name}.pick.{what}", node=node, by=importance, labels=row, out=result)
            importance = kept
        self._importance = importance

    def _sums(self, name: str, node: str, out: ir.Tensor, sums: ir.Tensor) -> Iterator[ir.Operator]:
        """Of each head's magnitudes, as means over the rows."""
        heads, zero_point = sums.cols, out.zero_point
        width = out.cols // heads
        magnitudes = replace(out, name=f"{name}.magnitudes", zero_point=INT8.min)
        means = replace(magnitudes, name=f"{name}.means", rows=1)
        entries = tuple(min(abs(q - zero_point), _LARGEST) + INT8.min for q in range(INT8.min, INT8.max + 1))
        yield ir.Table(name=f"{name}.magnitude", node=node, a=out.whole, out=magnitudes.whole, parameters=ActivationTable(entries))
        if out.rows > 1:
            data = np.ones((1, out.rows), np.int8)
            ones = replace(means, name=f"ones.{out.rows}", cols=out.rows, scale=1.0, zero_point=0, data=data)
            part = ir.MatMulPart(a=ones.whole, b=magnitudes.whole, out=means.whole)
            mean = _product(1 / out.rows, (0, INT8.min), (1.0, INT8.min, INT8), out.cols)
            yield ir.MatMul(name=f"{name}.mean", node=node, parts=(part,), b_transposed=False, parameters=mean)
        weights = np.repeat(np.eye(heads, dtype=np.int8), width, axis=1)
        of_heads = ir.Tensor(name=f"ones.{heads}.{width}", rows=heads, cols=out.cols, bits=4, scale=1.0, zero_point=0, data=weights)
        unit = -(-_LARGEST * width * self._layers // INT16.max)  # so that those of all layers fit
        part = ir.MatMulPart(a=(means if out.rows > 1 else magnitudes).whole, b=of_heads.whole, out=sums.whole)
        total = _product(1.0, (INT8.min, 0), (float(unit), 0, INT16), heads)
        yield ir.MatMul(name=f"{name}.sum", node=node, parts=(part,), b_transposed=True, parameters=total)

    def _takes_heads(self, op: ir.MatMul) -> bool:
        """Whether it is one product of the heads' results, side by side, with constants whose columns are theirs."""
        part, *others = op.parts
        of_all = part.a.is_whole and part.a.tensor.name in self._fewer and not others and not op.groups
        return of_all and part.b.is_whole and part.b.tensor.data is not None and part.b.tensor.bits > 2 and op.b_transposed

    def _projected(self, op: ir.Operator, fewer: ir.Tensor, heads: ir.Block) -> Iterator[ir.Operator]:
        """A product with constants, of the heads that are left."""
        if not isinstance(op, ir.MatMul) or not self._takes_heads(op):
            raise CompileError(f"{op.node}: only a product of them all with constants can do with fewer heads")
        (part,) = op.parts
        width = fewer.cols // heads.cols
        weights, source = new_block(f"{op.name}.weights", part.b, cols=fewer.cols), replace(part.b, cols=width)
        for j in range(heads.cols):
            out, shift = replace(weights, col=j * width, cols=width), replace(heads, col=j, cols=1)
            yield ir.Fetch(name=f"{op.name}.weights.{j}", node=op.node, source=source, shift=shift, beside=True, out=out)
        yield replace(op, parts=(replace(part, a=fewer.whole, b=weights),))


def _check(layer: Layer) -> None:
    if not are_beside([part.out for part in layer.mix.parts]) or layer.results.bits != 8:
        raise CompileError(f"{layer.mix.node}: heads can be left out where their results lie side by side, in 8 bits")


def _product(b_scale: float, zero_points: tuple[int, int], out: tuple[float, int, Format], channels: int) -> MatMulParameters:
    """zero_points: of a and b. out: scale, zero point and format."""
    return MatMulParameters.from_scales(
        **{"a_scale": 1.0, "a_zero_point": zero_points[0], "b_scale": b_scale, "b_zero_point": zero_points[1], "bias": 0.0},
        **{"out_scale": out[0], "out_zero_point": out[1], "out": out[2], "channels": channels},
    )


def _plain_sum() -> AddParameters:
    a, b = {"a_scale": 1.0, "a_zero_point": 0}, {"b_scale": 1.0, "b_zero_point": 0}
    return AddParameters.from_scales(**a, **b, out_scale=1.0, out_zero_point=0, out=INT16)
