"""Integer graphs of random numbers, for tests and benches."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.activation import MACHINE_GELU, TABLE_ENTRIES
from ..rtl.arch.deform import Form
from ..rtl.arch.window import Window
from ..sw import graph as ir
from ..sw.golden.activation import ActivationParameters, ActivationTable
from ..sw.golden.add import AddParameters
from ..sw.golden.deform import Deformation
from ..sw.golden.layernorm import LayerNormParameters
from ..sw.golden.matmul import MatMulParameters
from ..sw.golden.multiply import MultiplyParameters
from ..sw.golden.softmax import SoftmaxParameters, machine_circuit


class Builder:
    """Adds operators to a graph; each method gives the tensor that it adds."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, ir.Tensor] = {}
        self.operators: list[ir.Operator] = []

    def tensor(self, rows: int, cols: int, bits: int, data: NDArray | None = None, *, symmetric: bool = False) -> ir.Tensor:
        zero_point = 0 if data is not None or symmetric else int(self.random.integers(-20, 20))
        scale = 6.0 / 2 ** (bits - 1)
        t = ir.Tensor(name=f"t{len(self.tensors)}", rows=rows, cols=cols, bits=bits, scale=scale, zero_point=zero_point, data=data)
        self.tensors[t.name] = t
        return t

    def constant(self, rows: int, cols: int, bits: int = 8) -> ir.Tensor:
        reach = 1 << (bits - 1)
        return self.tensor(rows, cols, bits, self.random.integers(-reach, reach, (rows, cols)).astype(np.int8))

    @property
    def names(self) -> dict[str, str]:
        return {"name": f"op{len(self.operators)}", "node": f"node{len(self.operators)}"}

    def product(
        self, parts: Iterable[ir.MatMulPart], *, transposed: bool, window: Window | None = None, maximum: bool = False, groups: int = 0
    ) -> None:
        parts = tuple(parts)
        a, b, out = parts[0].a.tensor, parts[0].b.tensor, parts[0].out.tensor
        k, n = b.cols if transposed else b.rows, parts[0].out.cols
        parameters = MatMulParameters.from_scales(
            a_scale=a.scale,
            a_zero_point=a.zero_point,
            b_scale=b.scale / k**0.5 * self.random.uniform(0.5, 2, (groups, n) if groups else n),
            b_zero_point=b.zero_point,
            bias=self.random.normal(0, 1, n),
            out_scale=out.scale,
            out_zero_point=out.zero_point,
            out=out.format,
            channels=n,
            relu=bool(self.random.integers(2)),
        )
        about = {"b_transposed": transposed, "parameters": parameters, "window": window, "maximum": maximum}
        self.operators.append(ir.MatMul(**self.names, parts=parts, **about))

    def linear(self, x: ir.Tensor, cols: int, bits: int, weight_bits: int = 8, groups: int = 0, *, symmetric: bool = False) -> ir.Tensor:
        """groups: along K, of scales of their own; 0 for one scale for each of ``cols`` channels. symmetric: results have no zero point."""
        weights, out = self.constant(cols, x.cols, weight_bits), self.tensor(x.rows, cols, bits, symmetric=symmetric)
        self.product([ir.MatMulPart(a=x.whole, b=weights.whole, out=out.whole)], transposed=True, groups=groups)
        return out

    def convolution(self, x: ir.Tensor, cols: int, bits: int, window: Window, weight_bits: int = 8) -> ir.Tensor:
        """Of a feature map whose pixels are the rows of ``x``."""
        weights = self.constant(cols, window.taps * x.cols // window.groups, weight_bits)
        out = self.tensor(window.lines * window.columns, cols, bits)
        self.product([ir.MatMulPart(a=x.whole, b=weights.whole, out=out.whole)], transposed=True, window=window)
        return out

    def deformed(self, x: ir.Tensor, width: int, form: Form, fraction: int) -> ir.Tensor:
        """Of a feature map whose pixels are the rows of ``x``, lines of ``width``, by offsets that a product makes of them."""
        height, one = x.rows // width, 1 << fraction
        moves = form is not Form.REGULAR
        deformation = Deformation(
            height=height,
            width=width,
            lines=height,
            columns=width,
            form=form,
            fraction=fraction if moves else 0,
            offset_low=-2 * one if moves else 0,
            offset_high=3 * one if moves else 0,
        )
        offsets = self.linear(x, deformation.offsets, 8) if moves else None
        weights, out = self.constant(x.cols, deformation.taps, 4), self.tensor(x.rows, x.cols, 8)
        parameters = MatMulParameters.from_scales(
            **{"a_scale": 0.01, "a_zero_point": x.zero_point, "b_scale": np.full(x.cols, 2.0 ** (-8 * deformation.fractional))},
            **{"b_zero_point": 0, "bias": 0.0, "out_scale": 0.1, "out_zero_point": out.zero_point, "out": out.format, "channels": x.cols},
        )
        about = {"deformation": deformation, "parameters": parameters, "offsets": offsets.whole if offsets else None}
        weights = replace(weights, zero_point=0)
        self.operators.append(ir.Deform(**self.names, a=x.whole, b=weights.whole, out=out.whole, **about))
        return out

    def max_pool(self, x: ir.Tensor, bits: int, window: Window) -> ir.Tensor:
        """Of a feature map whose pixels are the rows of ``x``."""
        ones = self.tensor(x.cols, window.taps, 4, np.ones((x.cols, window.taps), np.int8))
        out = self.tensor(window.lines * window.columns, x.cols, bits)
        self.product([ir.MatMulPart(a=x.whole, b=ones.whole, out=out.whole)], transposed=True, window=window, maximum=True)
        return out

    def halved(self, x: ir.Tensor, width: int) -> ir.Tensor:
        """Max pooling of 2 x 2 pixels of such a map of int8, with lines of ``width``, that changes no number."""
        window = Window(height=x.rows // width, width=width, kernel=(2, 2), strides=(2, 2))
        ones = self.tensor(x.cols, 4, 4, np.ones((x.cols, 4), np.int8))
        out = self._like(x, x.rows // 4)
        unchanged = MatMulParameters.from_scales(
            **{"a_scale": x.scale, "a_zero_point": x.zero_point, "b_scale": np.ones(x.cols), "b_zero_point": 0, "bias": np.zeros(x.cols)},
            **{"out_scale": x.scale, "out_zero_point": x.zero_point, "out": x.format, "channels": x.cols},
        )
        part = ir.MatMulPart(a=x.whole, b=ones.whole, out=out.whole)
        about = {"b_transposed": True, "parameters": unchanged, "window": window, "maximum": True}
        self.operators.append(ir.MatMul(**self.names, parts=(part,), **about))
        return out

    def _like(self, x: ir.Tensor, rows: int) -> ir.Tensor:
        t = replace(x, name=f"t{len(self.tensors)}", rows=rows)
        self.tensors[t.name] = t
        return t

    def doubled(self, x: ir.Tensor, width: int) -> ir.Tensor:
        """Upsampling of such a map."""
        out = self._like(x, 4 * x.rows)
        self.operators.append(ir.Upsample(**self.names, a=x.whole, out=out.whole, width=width))
        return out

    def rescale(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = AddParameters.from_scales(
            a_scale=x.scale, a_zero_point=x.zero_point, out_scale=out.scale * 1.3, out_zero_point=out.zero_point, out=out.format
        )
        self.operators.append(ir.Rescale(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def add(self, x: ir.Tensor, y: ir.Tensor, bits: int) -> ir.Tensor:
        return self._of_two(ir.Add, AddParameters.from_scales, x, y, bits)

    def multiply(self, x: ir.Tensor, y: ir.Tensor, bits: int) -> ir.Tensor:
        return self._of_two(ir.Multiply, MultiplyParameters.from_scales, x, y, bits)

    def _of_two(
        self, kind: Callable[..., ir.PairOperator], from_scales: Callable[..., Any], x: ir.Tensor, y: ir.Tensor, bits: int
    ) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = from_scales(
            **{"a_scale": x.scale, "a_zero_point": x.zero_point, "b_scale": y.scale * 0.7, "b_zero_point": y.zero_point},
            **{"out_scale": out.scale, "out_zero_point": out.zero_point, "out": out.format},
        )
        self.operators.append(kind(**self.names, a=x.whole, b=y.whole, out=out.whole, parameters=parameters))
        return out

    def gelu(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        parameters = ActivationParameters.from_scales(
            MACHINE_GELU,
            **{"in_scale": x.scale, "in_zero_point": x.zero_point, "out_scale": out.scale, "out_zero_point": out.zero_point},
            source=x.format,
            out=out.format,
        )
        self.operators.append(ir.Gelu(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def table(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        """Of random entries."""
        out = self.tensor(x.rows, x.cols, bits)
        entries = self.random.integers(out.format.min, out.format.max + 1, TABLE_ENTRIES)
        self.operators.append(ir.Table(**self.names, a=x.whole, out=out.whole, parameters=ActivationTable(tuple(entries.tolist()))))
        return out

    def softmax(self, x: ir.Tensor, bits: int, *, length: int = 0, rows: int = 1) -> ir.Tensor:
        """length: elements that count in the first row of a matrix of ``rows`` rows, 0 for all; one more in each row after it."""
        out = replace(self.tensor(x.rows, x.cols, bits), scale=2.0**-bits)
        self.tensors[out.name] = out
        parameters = SoftmaxParameters.from_scales(
            machine_circuit(1),
            in_scale=x.scale,
            source=x.format,
            out_scale=out.scale,
            out_zero_point=out.zero_point,
            out=out.format,
            length=length or x.cols,
            rows=rows,
        )
        self.operators.append(ir.Softmax(**self.names, a=x.whole, out=out.whole, parameters=parameters, importance=0, threshold=None))
        return out

    def layernorm(self, x: ir.Tensor, bits: int) -> ir.Tensor:
        out = self.tensor(x.rows, x.cols, bits)
        gamma, beta = self.random.normal(1, 0.3, x.cols), self.random.normal(0, 1, x.cols)
        parameters = LayerNormParameters.from_scales(
            **{"in_scale": x.scale, "gamma": gamma, "beta": beta, "epsilon": 1e-5},
            **{"out_scale": out.scale, "out_zero_point": out.zero_point, "out": out.format},
        )
        self.operators.append(ir.LayerNorm(**self.names, a=x.whole, out=out.whole, parameters=parameters))
        return out

    def attention(
        self,
        x: ir.Tensor,
        heads: int,
        width: int,
        *,
        bits: int = 16,
        length: int = 0,
        groups: int = 0,
        weight_bits: int = 8,
        symmetric: bool = False,
    ) -> ir.Tensor:
        """Heads side by side in the columns of queries, keys, values and result; their scores one below the other.

        bits: of a score. length: of a causal mask: elements that count in the first row of each head; 0 for no mask. groups: along K, with
        scales of their own, of the weights of queries, keys and values. symmetric: these have no zero point.
        """
        q, k, v = (self.linear(x, heads * width, 8, weight_bits, groups, symmetric=symmetric) for _ in range(3))
        shares = self.softmax(self.scores(q, k, heads, bits), 8, length=length, rows=x.rows if length else 1)
        return self.linear(self.mixed(shares, v, heads), x.cols, 8, weight_bits)

    def fetched(self, tokens: ir.Tensor, choices: int, cols: int) -> ir.Tensor:
        """A row of int8 for each token, of so many choices."""
        rows = self.constant(choices, cols)
        out = self._like(replace(rows, data=None), tokens.cols)
        name, node = self.names.values()
        self.operators.append(ir.Fetch(name=name, node=node, source=rows.whole, numbers=tokens.whole, out=out.whole))
        return out

    def scores(self, q: ir.Tensor, k: ir.Tensor, heads: int, bits: int) -> ir.Tensor:
        """Queries by keys, head by head."""
        out = self.tensor(heads * q.rows, k.rows, bits)
        parts = zip(beside(q, heads), beside(k, heads), below(out, heads), strict=True)
        self.product((ir.MatMulPart(a=a, b=b, out=o) for a, b, o in parts), transposed=True)
        return out

    def mixed(self, shares: ir.Tensor, v: ir.Tensor, heads: int) -> ir.Tensor:
        """Shares by values, head by head."""
        out = self.tensor(shares.rows // heads, v.cols, 8)
        parts = zip(below(shares, heads), beside(v, heads), beside(out, heads), strict=True)
        self.product((ir.MatMulPart(a=a, b=b, out=o) for a, b, o in parts), transposed=False)
        return out

    def port(self, kind: Callable[..., ir.Port], t: ir.Tensor) -> ir.Port:
        order = np.arange(t.rows * t.cols).reshape(t.rows, t.cols)
        shape = {"shape": (t.rows, t.cols), "dtype": t.dtype, "permutation": order}
        return kind(name=t.name, tensor=t, scale=t.scale, zero_point=t.zero_point, **shape)

    def graph(self, inputs: Iterable[ir.Tensor], outputs: Iterable[ir.Tensor]) -> ir.Graph:
        sources = tuple(self.port(ir.GraphInput, t) for t in inputs)
        results = tuple(self.port(ir.GraphOutput, t) for t in outputs)
        return ir.Graph(inputs=sources, outputs=results, operators=tuple(self.operators), tensors=self.tensors)  # pyright: ignore[reportArgumentType]


def beside(t: ir.Tensor, heads: int) -> list[ir.Block]:
    """The heads' blocks, side by side in the columns."""
    width = t.cols // heads
    return [ir.Block(tensor=t, row=0, col=head * width, rows=t.rows, cols=width) for head in range(heads)]


def below(t: ir.Tensor, heads: int) -> list[ir.Block]:
    """The heads' blocks, one below the other."""
    rows = t.rows // heads
    return [ir.Block(tensor=t, row=head * rows, col=0, rows=rows, cols=t.cols) for head in range(heads)]


def random_inputs(graph: ir.Graph, seed: int) -> dict[str, NDArray]:
    """Over the whole range of the tensors' type; real numbers are normally distributed."""
    random = np.random.default_rng(seed)

    def values(port: ir.Port) -> NDArray:
        if port.dtype.kind == "f":
            return random.normal(size=port.shape)
        return random.integers(np.iinfo(port.dtype).min, np.iinfo(port.dtype).max + 1, port.shape)

    return {port.name: values(port).astype(port.dtype) for port in graph.inputs}
