"""In which pieces tensors are made and read, so that a reader starts on one while the next one is made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from typing_extensions import Self

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """rows, cols: of a piece, by the name of each tensor that is made in pieces of rows, or of columns."""

    rows: Mapping[str, int]
    cols: Mapping[str, int]

    @classmethod
    def of(cls, graph: ir.Graph, parameters: MachineParameters) -> Self:
        """Heads that lie one below the other are pieces. So are the halves of what one engine writes and another reads, and of the a of
        scores that are such: of rows, unless loading tiles would then take longer than using them. And the halves of the columns of what
        one product writes, and another one takes as its b [k, n]: its first tiles need only the first columns."""
        p = parameters
        products = [op for op in graph.operators if isinstance(op, ir.MatMul)]
        others = [op for op in graph.operators if not isinstance(op, ir.MatMul | ir.Transfer)]
        heads = {op.parts[0].out.tensor.name: op.parts[0].out.rows for op in products if len({part.out.row for part in op.parts}) > 1}
        exchanged = _written(products) & _read(others) | _written(others) & _read(products)
        scores = (part for op in products for part in op.parts if part.out.tensor in exchanged and part.b.tensor.data is None)
        exchanged |= {part.a.tensor for part in scores} & _written(products)
        halves = {tensor.name: -(-tensor.rows // 2) for tensor in exchanged if tensor.rows >= 2 * p.cols}
        step = max(p.cols, p.word_bytes)
        whole = {part.b.tensor for op in products if len(op.parts) == 1 and not op.b_transposed for part in op.parts}
        half_cols = {tensor.name: -(-tensor.cols // (2 * step)) * step for tensor in whole & _written(products)}
        return cls(rows={**halves, **heads}, cols=half_cols)

    def most_rows(self, limit: int, *blocks: ir.Block) -> int:
        """Of a task that reads or writes these blocks, and ``limit`` at the most."""
        return min(limit, *(self.rows.get(block.tensor.name, limit) for block in blocks))

    def most_cols(self, limit: int, *blocks: ir.Block) -> int:
        return min(limit, *(self.cols.get(block.tensor.name, limit) for block in blocks))


def _written(operators: Iterable[ir.Operator]) -> set[ir.Tensor]:
    return {block.tensor for op in operators for block in op.outputs}


def _read(operators: Iterable[ir.Operator]) -> set[ir.Tensor]:
    return {block.tensor for op in operators for block in op.inputs}
