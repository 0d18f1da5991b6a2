"""What an ONNX value is during import: a constant, or a view of a source's elements in the value's own order."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ..graph import Block, Operator, Tensor
from .onnx_file import Node, Value

Index = NDArray[np.int64]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized:
    """A constant's signed integers of `bits` bits, with scale and zero point for each element (arrays of one shape)."""

    data: NDArray[np.int64]
    scale: NDArray[np.float64]
    zero_point: NDArray[np.int64]
    bits: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant:
    """A value known at import. array: the ONNX value itself. quantized: where it comes from a DequantizeLinear."""

    name: str
    array: NDArray
    quantized: Quantized | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def moved(self, move: Callable[[NDArray], NDArray]) -> Self:
        """Every array reshaped or reordered in the same way."""
        q = self.quantized
        if q is not None:
            q = replace(q, data=move(q.data), scale=move(q.scale), zero_point=move(q.zero_point))
        return replace(self, array=move(self.array), quantized=q)


class Pending(ABC):
    """A computed value between its operation and its QuantizeLinear, which decides scale and width."""

    node: Node

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of elements."""

    @abstractmethod
    def layouts(self) -> list[Index]:
        """Ways to store the elements, best first: [rows, cols] element numbers."""

    @abstractmethod
    def operator(self, name: str, out: Tensor, place: Index) -> Operator:
        """The operator that writes element e to the flat position ``place[e]`` of ``out``. Raises ValueError."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Function:
    """What operations have made of each element of an 8-bit tensor.

    numbers: float32 [256], the results for -128..127. linear: whether they still are steps of one scale. node: the last operation.
    """

    node: Node
    numbers: NDArray[np.float32]
    linear: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """The ONNX value whose element i is element ``index[i]`` of the source; index has the value's shape.

    scale: the real value of one step of a Tensor source. integers: the ONNX integer type if the value is not yet dequantized.
    function: of an 8-bit Tensor source, what was made of its elements; unless it is linear, the scale has no meaning any more.
    """

    source: Tensor | Pending | Value
    index: Index
    scale: float = 1.0
    integers: np.dtype | None = None
    function: Function | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @property
    def linear(self) -> bool:
        """Whether each element is a number of steps of ``scale``."""
        return self.function is None or self.function.linear

    def moved(self, move: Callable[[NDArray], NDArray]) -> Self:
        """The same elements, reshaped or reordered."""
        return replace(self, index=move(self.index))


@dataclass
class Names:
    """Hands out unique names."""

    taken: set[str] = field(default_factory=set)

    def unique(self, wish: str) -> str:
        name, n = wish, 1
        while name in self.taken:
            name, n = f"{wish}_{n}", n + 1
        self.taken.add(name)
        return name


def corner(index: Index, cols: int) -> tuple[int, int] | None:
    """Row and column of ``index`` ([R, C] flat positions) in a matrix of ``cols`` columns, if it is a rectangle there, in order."""
    row, col = divmod(int(index[0, 0]), cols)
    expected = index[0, 0] + np.arange(index.shape[0])[:, None] * cols + np.arange(index.shape[1])
    return (row, col) if col + index.shape[1] <= cols and np.array_equal(index, expected) else None


def rectangle(tensor: Tensor, index: Index) -> Block | None:
    """The block whose element [i, j] is at the flat position ``index[i, j]``, if there is one."""
    at = corner(index, tensor.cols)
    return at and Block(tensor=tensor, row=at[0], col=at[1], rows=index.shape[0], cols=index.shape[1])


def columns_of(rows: int, cols: int, index: Index) -> Index | None:
    """The columns of a matrix whose element [r, columns[c]] is at its flat position ``index[r, c]``, of all rows, if that is so."""
    if len(index) != rows or not (0 <= index[0].min() <= index[0].max() < cols):
        return None
    return index[0] if np.array_equal(index, np.arange(rows)[:, None] * cols + index[0]) else None


def cover(tensor: Tensor, index: Index) -> tuple[Block, Index]:
    """The block of precisely the elements of ``index``, in any order, and their flat positions in that block.

    Raises
    ------
    ValueError
        If the elements don't form a rectangle.
    """
    row, col = np.divmod(index, tensor.cols)
    rows, cols = int(np.ptp(row)) + 1, int(np.ptp(col)) + 1
    position = (row - row.min()) * cols + (col - col.min())
    if index.size != rows * cols or len(np.unique(position)) != index.size:
        raise ValueError(f"its operand is not a rectangle of the stored tensor {tensor}")
    return Block(tensor=tensor, row=int(row.min()), col=int(col.min()), rows=rows, cols=cols), position


def matrices(index: Index) -> Iterator[Index]:
    """The [R, C] matrices of a [..., R, C] array."""
    yield from index.reshape(-1, *index.shape[-2:])


def inverse(permutation: Index) -> Index:
    """The flat position at which each number 0..n-1 stands."""
    place = np.empty(permutation.size, np.int64)
    place[permutation.reshape(-1)] = np.arange(permutation.size)
    return place


def fit(from_scales: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The golden model's parameters; its ValueError says what of the network's scales is out of range."""
    try:
        return from_scales(*args, **kwargs)
    except ValueError as error:
        raise ValueError(f"its scales don't fit the machine: {error}") from error
