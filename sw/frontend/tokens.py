"""Tokens: the rows of a table by their numbers, as an embedding has them, and the number of the largest element of each row."""

from dataclasses import dataclass, replace

import numpy as np

from ..executor import quantize
from ..graph import Block, Fetch, Operator, Pick, Tensor, numbers_of
from .onnx_file import Node
from .operands import Operands
from .rowwise import rows_of
from .values import Constant, Index, Names, Pending, View

NUMBER_TYPES = ("int32", "int64")  # of tokens in ONNX
MOST_NUMBERS = 1 << 15  # rows or columns: a number has 16 bits with its sign
NUMBERS = {"bits": 16, "scale": 1.0, "zero_point": 0}  # how the machine keeps them


def counted(count: int, what: str) -> int:
    """Raises ValueError where there are more than numbers for them."""
    if count > MOST_NUMBERS:
        raise ValueError(f"it has {count} {what}, but the machine's numbers of {what} end at {MOST_NUMBERS - 1}")
    return count


@dataclass(frozen=True, kw_only=True, eq=False)
class LookedUp(Pending):
    """The rows of a real ``table`` [R, C] with the ``numbers``, one below the other."""

    node: Node
    table: Constant
    numbers: Block
    names: Names

    @property
    def size(self) -> int:
        return self.numbers.cols * self.table.shape[1]

    def layouts(self) -> list[Index]:
        return [np.arange(self.size).reshape(self.numbers.cols, -1)]

    def operator(self, name: str, out: Tensor, place: Index) -> Operator:
        rows, cols = self.table.shape
        data = quantize(self.table.array, out.scale, out.zero_point, out.format.min, out.format.max).astype(out.dtype)
        source = replace(out, name=self.names.unique(self.table.name), rows=rows, cols=cols, data=data)
        return Fetch(name=name, node=self.node.name, source=source.whole, numbers=self.numbers, out=out.whole)


def table_of(node: Node, operands: Operands) -> Constant:
    """That a Gather looks its rows up in."""
    table, axis = operands.finite(node, 0), node.attributes.get("axis", 0)
    assert table
    if len(table.shape) != 2 or axis not in (0, -2):
        raise ValueError(f"by the numbers in an input only rows of a table can be looked up, not along axis {axis} of {list(table.shape)}")
    counted(table.shape[0], "rows")
    return table


def largest(node: Node, operands: Operands, name: str) -> tuple[Pick, View]:
    """The operator of that name, and the column that it finds for each row: the first of equal ones."""
    view, axis = operands.view(node, 0), node.attributes.get("axis", 0)
    if axis not in (-1, len(view.shape) - 1):
        raise ValueError(f"its axis must be the last one, not {axis}")
    if node.attributes.get("select_last_index", 0):
        raise ValueError("of equal elements only the first can be found, not the last")
    a, index = rows_of(view)
    labels = numbers_of(counted(a.cols, "columns"), operands.names.unique(f"{node.outputs[0]}.columns"))
    out = Tensor(name=operands.names.unique(node.outputs[0]), rows=a.rows, cols=1, **NUMBERS)
    rows = index[..., :1] // a.cols
    found = View(source=out, index=rows if node.attributes.get("keepdims", 1) else rows[..., 0], integers=np.dtype(np.int64))
    return Pick(name=name, node=node.name, by=a, labels=labels, out=out.whole), found
