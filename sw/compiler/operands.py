"""Where the operands of tasks lie."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .buffers import table_name
from .errors import CompileError
from .layout import Buffer, Layout
from .pieces import Pieces
from .task import MakeTask, Operand, Shift


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """Makes operands of the blocks of a graph.

    staged: tells the buffers that pass through the staging area. pieces: that a task is limited to. fetched: names of tensors that come
    as they lie in external memory, padding included.
    """

    parameters: MachineParameters
    layouts: Mapping[str, Layout]
    buffers: Mapping[str, Buffer]
    staged: Callable[[Buffer], bool]
    pieces: Pieces
    fetched: Container[str]

    def is_staged(self, operand: Operand) -> bool:
        """Whether it takes room in the staging area."""
        return operand.ring is None and (operand.shift is not None or self.staged(operand.buffer))

    def rectangle(self, block: ir.Block, row: int, rows: int, col: int, cols: int, *, repeat: bool = False) -> Operand:
        """Rows and columns of a block, counted from its corner; the columns start a word and lie in one group."""
        layout = self.layouts[block.tensor.name]
        start = block.col + col
        word = layout.word(start)
        if start // layout.group != (start + cols - 1) // layout.group:
            raise CompileError(f"columns {start} to {start + cols - 1} of {block.tensor.name} are not contiguous")
        words = -(-cols // layout.word_elements)
        return Operand(buffer=self.buffers[block.tensor.name], row=block.row + row, rows=rows, word=word, words=words, repeat=repeat)

    def rows(self, block: ir.Block, row: int, rows: int) -> Operand:
        """Whole rows of a tensor, padding included."""
        buffer = self.buffers[block.tensor.name]
        return Operand(buffer=buffer, row=block.row + row, rows=rows, word=0, words=buffer.row_words)

    def table(self, op: ir.MatMul | ir.LayerNorm | ir.Table) -> Operand:
        buffer = self.buffers[table_name(op)]
        return Operand(buffer=buffer, row=0, rows=buffer.rows, word=0, words=buffer.row_words)

    def shift(self, number: ir.Block, words: int) -> Shift:
        """By a number of blocks of so many words."""
        buffer = self.buffers[number.tensor.name]
        if self.staged(buffer):
            raise CompileError(f"{number.tensor} must stay in the scratchpad, where there is no room for it")
        word, element = divmod(number.col, self.parameters.word_bytes // 2)
        return Shift(buffer=buffer, word=number.row * buffer.row_words + word, element=element, words=words)

    def piece(self, make: MakeTask, rows: int, cols: int, limit: int, *blocks: ir.Block) -> int:
        """The most rows of a task: those of a piece, unless each would load the same constants again."""
        constants = (operand.buffer for operand in make(0, rows, 0, cols).operands.values() if operand.buffer.data is not None)
        return limit if any(self.staged(buffer) for buffer in constants) else self.pieces.most_rows(limit, *blocks)

    def require_pruning(self) -> None:
        if not self.parameters.pruning:
            raise CompileError("what prunes, looks rows up or finds the largest needs a machine with pruning")

    def require_row(self, cols: int) -> None:
        """Of an operator that takes rows whole."""
        if cols > self.parameters.row_elements:
            raise CompileError(f"its rows have {cols} elements, but row_elements is {self.parameters.row_elements}")
