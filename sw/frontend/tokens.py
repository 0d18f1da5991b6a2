"""Tokens: the rows of a table by their numbers, as an embedding has them, and the number of the largest element of each row."""

from dataclasses import dataclass, replace

import numpy as np

from ..executor import quantize
from ..graph import Block, Fetch, Gather, Operator, Pick, Tensor, numbers_of
from .onnx_file import Node
from .operands import Operands
from .rowwise import covered, rows_of
from .values import Constant, Index, Names, Pending, View

NUMBER_TYPES = ("int32", "int64")  # of tokens in ONNX
MOST_NUMBERS = 1 << 15  # rows or columns: a number has 16 bits with its sign
INDEX = np.dtype(np.int64)  # of what finds them
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


def largest(node: Node, operands: Operands) -> View:
    """The column of the largest of each row: the first of equal ones. No quantized number: after it comes only what moves it, or looks rows
    up."""
    view, axis = operands.view(node, 0), node.attributes.get("axis", 0)
    if axis not in (-1, len(view.shape) - 1):
        raise ValueError(f"its axis must be the last one, not {axis}")
    if node.attributes.get("select_last_index", 0):
        raise ValueError("of equal elements only the first can be found, not the last")
    a, index = rows_of(view)
    labels = numbers_of(counted(a.cols, "columns"), operands.names.unique(f"{node.outputs[0]}.columns"))
    out = Tensor(name=operands.names.unique(node.outputs[0]), rows=a.rows, cols=1, **NUMBERS)
    operands.add(Pick(name=operands.operator_names.unique(node.name), node=node.name, by=a, labels=labels, out=out.whole))
    operands.counts[out] = a.cols
    rows = index[..., :1] // a.cols
    return View(source=out, index=rows if node.attributes.get("keepdims", 1) else rows[..., 0], integers=INDEX)


def gathered(node: Node, numbers: View, operands: Operands) -> View:
    """The rows of a stored matrix by numbers that the machine found."""
    view, axis = operands.view(node, 0), node.attributes.get("axis", 0)
    block, index = covered(view)
    if len(view.shape) != 2 or axis not in (0, -2) or not np.array_equal(index, np.arange(index.size).reshape(block.rows, block.cols)):
        raise ValueError(
            f"by computed numbers only rows of a matrix as it is stored can be taken, not along axis {axis} of {list(view.shape)}"
        )
    found = row_of_numbers(node, numbers, block.rows, operands)
    out = replace(block.tensor, name=operands.names.unique(node.outputs[0]), rows=found.cols, cols=block.cols)
    operands.add(Gather(name=operands.operator_names.unique(node.name), node=node.name, a=block, numbers=found, out=out.whole))
    return replace(view, source=out, index=np.arange(out.rows * out.cols).reshape(*numbers.shape, -1))


def row_of_numbers(node: Node, numbers: View, rows: int, operands: Operands) -> Block:
    """Of the machine's, of which none is as large as ``rows``."""
    block, index = covered(numbers)
    if block.rows != 1 or not np.array_equal(index.reshape(-1), np.arange(block.cols)):
        raise ValueError(f"the numbers {node.inputs[1]} must be a row of the machine's, in its order, not {block}")
    count = operands.counts[block.tensor]
    if count > rows:
        raise ValueError(f"the numbers {node.inputs[1]} end at {count - 1}, but there are only {rows} rows")
    return block
