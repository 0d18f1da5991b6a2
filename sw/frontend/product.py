"""Matrix products between DequantizeLinear and QuantizeLinear: MatMul, Gemm, convolution and mean over rows."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ...rtl.arch.window import Window
from ..golden.matmul import MatMulParameters, accumulator_bound
from ..graph import Block, MatMul, MatMulPart, Tensor
from .convolution import in_patches, operand_rows, weight_columns, window_of
from .onnx_file import MAX_ELEMENTS, Node
from .values import Constant, Index, Names, Pending, Quantized, View, fit, matrices, rectangle

INT32_MAX = 2**31 - 1
LEAST_GROUP = 16  # of k with scales of their own


@dataclass(frozen=True, kw_only=True, eq=False)
class Operand:
    """One side of the products: its blocks, and the scale of its steps: of constant weights one per column, or [G, columns] for G equal
    groups along K."""

    blocks: tuple[Block, ...]
    scale: NDArray[np.float64]
    zero_point: int


def _uniform(values: NDArray, what: str) -> float:
    if values.min() != values.max():
        raise ValueError(f"{what} must be one for the whole tensor, not {values.min()} to {values.max()}")
    return values.flat[0].item()


def _stored(constant: Constant, names: Names, *, per_column: bool) -> tuple[Tensor, NDArray[np.float64], int]:
    """A constant matrix as a tensor: of 8 bits; or if ``per_column`` columns as rows, and perhaps of fewer bits. Its scale (as
    Operand's, or scalar) and zero point."""
    if constant.quantized is None:
        raise ValueError(f"its operand {constant.name} is not quantized")
    if constant.quantized.bits > 8:
        raise ValueError(f"its operand {constant.name} must have 8 bits or fewer, not {constant.quantized.bits}")
    if any(d != 1 for d in constant.shape[:-2]):
        raise ValueError(f"its constant operand {constant.name} must be one matrix, not {list(constant.shape)}")
    rows, cols = constant.shape[-2:]
    data, scale, zero = (m.reshape(rows, cols) for m in (constant.quantized.data, constant.quantized.scale, constant.quantized.zero_point))
    zero_point = int(_uniform(zero, f"zero point of {constant.name}"))
    scale = _of_columns(scale, constant.name) if per_column else np.array(_uniform(scale, f"scale of {constant.name}"))
    single = scale.min() == scale.max()
    matrix = data.T if per_column else data
    tensor = Tensor(
        name=names.unique(constant.name),
        rows=matrix.shape[0],
        cols=matrix.shape[1],
        bits=constant.quantized.bits if per_column else 8,
        scale=float(scale.flat[0]) if single else 1.0,
        zero_point=zero_point,
        data=matrix.astype(np.int8),
    )
    return tensor, scale, zero_point


def _of_columns(scale: NDArray, name: str) -> NDArray[np.float64]:
    """Scales of elements [K, N] as one of each column, [N], or of each of G equal groups of k, [G, N]."""
    k = len(scale)
    changes = np.flatnonzero((scale[1:] != scale[:-1]).any(axis=1)) + 1
    group = int(np.gcd.reduce(changes, initial=k))
    if group < min(k, LEAST_GROUP):
        raise ValueError(
            f"the weights {name} must have one scale, one per output channel, or one per group of k: "
            f"groups of {LEAST_GROUP} or more that divide {k}, not of {group}"
        )
    return scale[0] if group == k else scale[::group]


def _source(view: View) -> Tensor:
    if not isinstance(view.source, Tensor):
        raise ValueError("its operand is not quantized")
    if view.source.bits != 8:
        raise ValueError(f"its operand {view.source} must be int8 or uint8")
    return view.source


def _left(a: View | Constant, batch: tuple[int, ...], join: bool, names: Names) -> Operand:
    """a's matrices, one for each of ``batch``; if ``join``, all in one block where their rows are neighbours."""
    if isinstance(a, Constant):
        tensor, scale, zero_point = _stored(a, names, per_column=False)
        return Operand(blocks=(tensor.whole,) * math.prod(batch), scale=scale, zero_point=zero_point)
    source = _source(a)
    blocks = [rectangle(source, a.index.reshape(-1, a.shape[-1]))] if join else [None]
    if not all(blocks):
        blocks = [rectangle(source, m) for m in matrices(np.broadcast_to(a.index, (*batch, *a.shape[-2:])))]
    if not all(blocks):
        raise ValueError(f"its first operand {list(a.shape)} is not made of rows of the stored tensor {source}")
    return Operand(blocks=tuple(filter(None, blocks)), scale=np.array(a.scale), zero_point=source.zero_point)


def _right(b: View | Constant, batch: tuple[int, ...], names: Names) -> tuple[Operand, bool]:
    """b's matrices, one for each of ``batch``, and whether they are stored [N, K]."""
    if isinstance(b, Constant):
        tensor, scale, zero_point = _stored(b, names, per_column=True)
        return Operand(blocks=(tensor.whole,) * math.prod(batch), scale=scale, zero_point=zero_point), True
    source = _source(b)
    for transposed in (False, True):
        every = matrices(np.broadcast_to(b.index, (*batch, *b.shape[-2:])))
        blocks = [rectangle(source, m.T if transposed else m) for m in every]
        if all(blocks):
            operand = Operand(blocks=tuple(filter(None, blocks)), scale=np.array(b.scale), zero_point=source.zero_point)
            return operand, transposed
    raise ValueError(f"its second operand {list(b.shape)} is not made of rows or columns of the stored tensor {source}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Product(Pending):
    """``relu(a @ b * factor + bias)`` for one or several parts [M, N]; element (part, m, n) has the number (part * M + m) * N + n.

    window: the rows of a are the windows of a feature map. maximum: of each window the largest, with weights that are one.
    """

    node: Node
    a: Operand
    b: Operand
    m: int
    n: int
    k: int
    b_transposed: bool
    bias: NDArray[np.float64]
    factor: float = 1.0
    relu: bool = False
    window: Window | None = None
    maximum: bool = False

    @property
    def parts(self) -> int:
        return len(self.a.blocks)

    @property
    def size(self) -> int:
        return self.parts * self.m * self.n

    def layouts(self) -> list[Index]:
        numbers = np.arange(self.size).reshape(self.parts, self.m, self.n)
        stacked, beside = numbers.reshape(-1, self.n), numbers.transpose(1, 0, 2).reshape(self.m, -1)
        return [stacked, beside]

    def columns(self, elements: Index, values: NDArray) -> NDArray[np.float64]:
        """[N] from a value for each of ``elements``. Raises ValueError unless it depends on the column alone."""
        result = np.zeros(self.n)
        result[elements % self.n] = values
        if not np.array_equal(result[elements % self.n], values):
            raise ValueError("what is added to a product before QuantizeLinear must have one value per output channel")
        return result

    def scaled(self, factor: float) -> Self:
        return replace(self, factor=self.factor * factor, bias=self.bias * factor)

    def restricted(self, elements: Index) -> "tuple[Product, Index]":
        """The product of only those columns that ``elements`` need, and the place of each old element (-1: none).

        Raises ValueError unless the elements are neighbouring columns of a product with constant weights.
        """
        columns = np.unique(elements % self.n)
        first, count = int(columns[0]), len(columns)
        weights = self.b.blocks[0]
        contiguous = columns[-1] - first + 1 == count and elements.size == self.parts * self.m * count
        whole = self.window is not None and self.window.groups > 1
        if not contiguous or whole or weights.tensor.data is None or not self.b_transposed:
            raise ValueError(f"only {elements.size} of its {self.size} results are quantized")
        block = replace(weights, row=weights.row + first, rows=count)
        scale = np.broadcast_to(self.b.scale, (*self.b.scale.shape[:-1], self.n))[..., first : first + count]
        b = replace(self.b, blocks=(block,) * self.parts, scale=scale)
        place = np.full((self.parts * self.m, self.n), -1, np.int64)
        place[:, first : first + count] = np.arange(elements.size).reshape(-1, count)
        return replace(self, b=b, n=count, bias=self.bias[first : first + count]), place.reshape(-1)

    def _parameters(self, out: Tensor) -> MatMulParameters:
        return fit(
            MatMulParameters.from_scales,
            a_scale=float(self.a.scale),
            a_zero_point=self.a.zero_point,
            b_scale=self.b.scale * self.factor,
            b_zero_point=self.b.zero_point,
            bias=self.bias,
            out_scale=out.scale,
            out_zero_point=out.zero_point,
            out=out.format,
            channels=self.n,
            relu=self.relu,
        )

    def _accumulator(self, parameters: MatMulParameters) -> int:
        """The largest magnitude that an accumulator can reach."""
        block, bias = self.b.blocks[0], parameters.bias
        if block.tensor.data is not None:
            weights = block.tensor.data[block.slices]
            zero_points = self.b.zero_point, self.a.zero_point
            return accumulator_bound(weights.T if self.b_transposed else weights, *zero_points, bias, parameters.factors)
        left, right = (max(127 - z, 128 + z) for z in (self.a.zero_point, self.b.zero_point))
        return self.k * left * right + int(np.abs(bias).max())

    def operator(self, name: str, out: Tensor, place: Index) -> MatMul:
        parameters = self._parameters(out)
        reach = self._accumulator(parameters)
        if reach > INT32_MAX:
            raise ValueError(f"its accumulator can reach {reach}, more than int32 holds")
        blocks = [rectangle(out, m) for m in matrices(place.reshape(self.parts, self.m, self.n))]
        parts = [MatMulPart(a=a, b=b, out=o) for a, b, o in zip(self.a.blocks, self.b.blocks, blocks, strict=True) if o]
        return MatMul(
            name=name,
            node=self.node.name,
            parts=tuple(parts),
            b_transposed=self.b_transposed,
            parameters=parameters,
            window=self.window,
            maximum=self.maximum,
        )


def multiply(node: Node, a: View | Constant, b: View | Constant, names: Names) -> View:
    """a [..., M, K] times b [..., K, N], as ONNX MatMul. Raises ValueError where the operands can't be addressed as blocks."""
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ValueError("its operands must have at least two dimensions")
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"its operands' shapes {list(a.shape)} and {list(b.shape)} don't fit")
    m, k, n = *a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    index = _elements((*batch, m, n))
    alone = math.prod(b.shape[:-2]) == 1
    left = _left(a, batch, alone, names)
    if alone:
        right, transposed = _right(b.moved(lambda x: x.reshape(k, n)), (len(left.blocks),), names)
    else:
        right, transposed = _right(b, batch, names)
    product = Product(
        node=node,
        a=left,
        b=right,
        b_transposed=transposed,
        m=left.blocks[0].rows,
        n=n,
        k=k,
        bias=np.zeros(n),
    )
    return View(source=product, index=index)


def _elements(shape: tuple[int, ...]) -> Index:
    """The numbers of a result's elements. Raises ValueError where they are too many."""
    size = math.prod(shape)
    if size > MAX_ELEMENTS:
        raise ValueError(f"its result {list(shape)} has more than {MAX_ELEMENTS} elements")
    return np.arange(size).reshape(shape)


def convolve(node: Node, x: View, weights: Constant, groups: int, names: Names, *, maximum: bool = False) -> View:
    """x [B, C, H, W] by constant weights [N, C / groups, kh, kw], as ONNX Conv: [B, N, OH, OW]. maximum: as ONNX MaxPool."""
    (n, _, kh, kw), (batch, _, height, width) = weights.shape, x.shape
    window = window_of(node, (kh, kw), height, width, groups=groups)
    if x.shape[1] != weights.shape[1] * window.groups:
        raise ValueError(f"its operands' shapes {list(x.shape)} and {list(weights.shape)} don't fit")
    patches = in_patches(window) and not maximum
    rows, columns = replace(x, index=operand_rows(window, x.index, patches)), weights.moved(lambda w: weight_columns(w, patches))
    if patches:
        value = multiply(node, rows, columns, names)
    else:
        index = _elements((batch, window.lines * window.columns, n))
        left = _left(rows, (batch,), False, names)
        right, _ = _right(columns, (batch,), names)
        if right.scale.ndim == 2:
            raise ValueError(f"the weights {weights.name} of overlapping windows must have one scale, or one per output channel")
        product = Product(
            node=node,
            a=left,
            b=right,
            b_transposed=True,
            m=window.lines * window.columns,
            n=n,
            k=columns.shape[0],
            bias=np.zeros(n),
            window=window,
            maximum=maximum,
        )
        value = View(source=product, index=index)
    return value.moved(lambda index: index.reshape(batch, window.lines, window.columns, n).transpose(0, 3, 1, 2))


def mean_weights(shape: tuple[int, ...], count: int, *, bits: int) -> Constant:
    """Weights with which a product is a mean of ``count`` numbers: ones of scale 1 / count."""
    ones = np.ones(shape, np.int64)
    scale = np.full(shape, 1 / count)
    return Constant(
        name=f"mean_of_{count}",
        array=scale,
        quantized=Quantized(data=ones, scale=scale, zero_point=0 * ones, bits=bits),
    )
