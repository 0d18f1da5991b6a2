"""Operations on each element or each row of one stored rectangle or of two: add, multiply, rescale, ReLU, GELU, LayerNorm."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ...rtl.arch.activation import MACHINE_GELU
from ..golden.activation import ActivationParameters
from ..golden.add import AddParameters
from ..golden.layernorm import LayerNormParameters
from ..golden.multiply import MultiplyParameters
from ..graph import Add, Block, Gelu, LayerNorm, Multiply, Operator, Rescale, Tensor
from .onnx_file import Node
from .values import Constant, Index, Names, Pending, View, cover, fit

T = TypeVar("T")


def covered(view: View | Constant) -> tuple[Block, Index]:
    """The block of the view's elements, and their positions in it. Raises ValueError where it is no rectangle of a stored tensor."""
    if isinstance(view, Constant):
        raise ValueError(f"its operand {view.name} is a constant")
    if not isinstance(view.source, Tensor):
        raise ValueError("its operand is not quantized")
    return cover(view.source, view.index)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rowwise(Pending):
    """Element e of the result belongs to element e of the block ``a``, counted row by row. scale: of a's steps."""

    node: Node
    a: Block
    scale: float

    @property
    def size(self) -> int:
        return self.a.rows * self.a.cols

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(self.a.rows, self.a.cols)]

    def operator(self, name: str, out: Tensor, place: Index) -> Operator:
        return self.placed(name, out.whole)

    @abstractmethod
    def placed(self, name: str, out: Block) -> Operator: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Rescaled(Rowwise):
    """The operand itself, or its ReLU."""

    relu: bool = False

    @classmethod
    def of(cls, node: Node, view: View) -> View:
        a, index = covered(view)
        return View(source=cls(node=node, a=a, scale=view.scale), index=index)

    def placed(self, name: str, out: Block) -> Rescale:
        parameters = fit(
            AddParameters.from_scales,
            a_scale=self.scale,
            a_zero_point=self.a.tensor.zero_point,
            out_scale=out.tensor.scale,
            out_zero_point=out.tensor.zero_point,
            out=out.tensor.format,
            relu=self.relu,
        )
        return Rescale(name=name, node=self.node.name, a=self.a, out=out, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class OfTwo(Rowwise):
    """Of an element of a and the one of b at its place. b lies as a does, or is one row."""

    b: Block
    b_scale: float

    @classmethod
    def of(cls, node: Node, a: View, b: View | Constant, names: Names) -> View:
        if isinstance(b, View) and a.index.size < b.index.size:
            a, b = b, a
        if np.broadcast_shapes(a.shape, b.shape) != a.shape:
            raise ValueError(f"its operands' shapes {list(a.shape)} and {list(b.shape)} don't fit")
        block, index = covered(a)
        if isinstance(b, Constant):
            other = _stored(b, index, block, names).whole
            scale = other.tensor.scale
        else:
            other, other_index = covered(b)
            if not np.array_equal(index % (other.rows * other.cols), np.broadcast_to(other_index, index.shape)):
                raise ValueError(f"its operands {block} and {other} are not stored in the same order")
            scale = b.scale
        return View(source=cls(node=node, a=block, scale=a.scale, b=other, b_scale=scale), index=index)

    def fitted(self, from_scales: Callable[..., T], out: Tensor, **more: Any) -> T:
        """The parameters for a result of ``out``'s scale."""
        return fit(
            from_scales,
            a_scale=self.scale,
            a_zero_point=self.a.tensor.zero_point,
            b_scale=self.b_scale,
            b_zero_point=self.b.tensor.zero_point,
            out_scale=out.scale,
            out_zero_point=out.zero_point,
            out=out.format,
            **more,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sum(OfTwo):
    """a + b, or its ReLU."""

    relu: bool = False

    def placed(self, name: str, out: Block) -> Add:
        parameters = self.fitted(AddParameters.from_scales, out.tensor, relu=self.relu)
        return Add(name=name, node=self.node.name, a=self.a, b=self.b, out=out, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiplied(OfTwo):
    """a * b."""

    def placed(self, name: str, out: Block) -> Multiply:
        parameters = self.fitted(MultiplyParameters.from_scales, out.tensor)
        return Multiply(name=name, node=self.node.name, a=self.a, b=self.b, out=out, parameters=parameters)


def _stored(constant: Constant, index: Index, block: Block, names: Names) -> Tensor:
    """The constant as it is taken with ``block``; one row if all are equal. A float constant becomes int16."""
    q = constant.quantized
    if q is not None and q.scale.min() == q.scale.max() and q.zero_point.min() == q.zero_point.max():
        data, bits, scale, zero_point = q.data, max(8, q.bits), q.scale.flat[0].item(), q.zero_point.flat[0].item()
    else:
        scale = float(np.abs(constant.array).max()) / (2**15 - 1) or 1.0
        data, bits, zero_point = np.rint(constant.array / scale), 16, 0
    matrix = np.empty(index.size, f"int{bits}")
    matrix[index.reshape(-1)] = np.broadcast_to(data, index.shape).reshape(-1)
    matrix = matrix.reshape(block.rows, block.cols)
    if (matrix == matrix[0]).all():
        matrix = matrix[:1]
    name = names.unique(constant.name)
    rows, cols = matrix.shape
    return Tensor(name=name, rows=rows, cols=cols, bits=bits, scale=scale, zero_point=zero_point, data=matrix)


def rows_of(view: View) -> tuple[Block, Index]:
    """The block whose rows are the value's last axis, and the elements' positions in it."""
    block, index = covered(view)
    along_rows(block, index)
    return block, index


def along_rows(block: Block, index: Index) -> None:
    """Raises ValueError unless the last axis of a value that views the block runs along its rows."""
    rows = index.reshape(-1, index.shape[-1])
    if rows.shape[1] != block.cols or not np.array_equal(rows, rows[:, :1] + np.arange(block.cols)):
        raise ValueError(f"its last axis does not run along the rows of the stored tensor {block}")


def last_axis(node: Node, view: View) -> None:
    axis = node.attributes.get("axis", -1)
    if axis not in (-1, len(view.shape) - 1):
        raise ValueError(f"its axis must be the last one, not {axis}")


@dataclass(frozen=True, kw_only=True, eq=False)
class GeluOf(Rowwise):
    """``gelu(a) * factor``."""

    factor: float = 1.0

    @classmethod
    def of(cls, node: Node, view: View) -> View:
        if node.attributes.get("approximate", b"none") != b"none":
            raise ValueError("only the exact GELU (approximate = none) is supported on int16 tensors")
        a, index = covered(view)
        return View(source=cls(node=node, a=a, scale=view.scale), index=index)

    def scaled(self, factor: float) -> Self:
        return replace(self, factor=self.factor * factor)

    def placed(self, name: str, out: Block) -> Gelu:
        parameters = fit(
            ActivationParameters.from_scales,
            MACHINE_GELU,
            in_scale=self.scale,
            in_zero_point=self.a.tensor.zero_point,
            out_scale=out.tensor.scale / self.factor,
            out_zero_point=out.tensor.zero_point,
            source=self.a.tensor.format,
            out=out.tensor.format,
        )
        return Gelu(name=name, node=self.node.name, a=self.a, out=out, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class ErfOf(Rowwise):
    """``erf(a)`` or ``erf(a) + 1``: only as a part of GELU, x * (erf(x / sqrt(2)) + 1) / 2."""

    plus_one: bool = False

    @classmethod
    def of(cls, node: Node, view: View) -> View:
        a, index = covered(view)
        return View(source=cls(node=node, a=a, scale=view.scale), index=index)

    def times(self, node: Node, index: Index, x: View) -> View:
        """The GELU that this is, multiplied by ``x``."""
        a, x_index = covered(x)
        scale = self.scale * math.sqrt(2)
        same = self.a.tensor is a.tensor and self.a.slices == a.slices and np.array_equal(index, x_index)
        if not (same and self.plus_one):
            raise ValueError("only x * (erf(x / sqrt(2)) + 1) is supported of Erf")
        return View(source=GeluOf(node=node, a=a, scale=scale, factor=2 * x.scale / scale), index=index)

    def placed(self, name: str, out: Block) -> Operator:
        raise ValueError("Erf is supported on int16 tensors as a part of GELU only, without QuantizeLinear in between")


@dataclass(frozen=True, kw_only=True, eq=False)
class NormOf(Rowwise):
    """LayerNorm, or with ``rms`` RMSNorm. gamma, beta: real, one per column."""

    gamma: NDArray
    beta: NDArray
    epsilon: float
    rms: bool

    @classmethod
    def of(cls, node: Node, view: View, gamma: NDArray, beta: NDArray, *, rms: bool = False) -> View:
        last_axis(node, view)
        a, index = rows_of(view)
        if rms and a.tensor.zero_point:
            raise ValueError(f"its input must be quantized symmetrically, not with the zero point {a.tensor.zero_point}")
        gamma, beta = (np.broadcast_to(v.reshape(-1), a.cols) for v in (gamma, beta))
        epsilon = node.attributes.get("epsilon", 1e-5)
        return View(source=cls(node=node, a=a, scale=view.scale, gamma=gamma, beta=beta, epsilon=epsilon, rms=rms), index=index)

    def placed(self, name: str, out: Block) -> LayerNorm:
        parameters = fit(
            LayerNormParameters.from_scales,
            in_scale=self.scale,
            gamma=self.gamma,
            beta=self.beta,
            epsilon=self.epsilon,
            out_scale=out.tensor.scale,
            out_zero_point=out.tensor.zero_point,
            out=out.tensor.format,
            rms=self.rms,
        )
        return LayerNorm(name=name, node=self.node.name, a=self.a, out=out, parameters=parameters)
