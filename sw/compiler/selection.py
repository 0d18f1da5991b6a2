"""What prunes, and what makes tokens numbers and back: the largest of a row, and rows that are gathered or fetched by their numbers."""

from collections.abc import Iterator
from dataclasses import replace

from ...rtl.arch.steps import IMPORTANCE_ADDS, Engine, VectorOperation
from .. import graph as ir
from .operands import Operands
from .segments import segments
from .task import Task, Way


class Selection:
    """Makes the tasks of such operators from their ``operands``. Raises CompileError where the machine can't do them."""

    def __init__(self, operands: Operands) -> None:
        self._operands = operands

    def pick(self, op: ir.Pick) -> Iterator[Way]:
        self._operands.require_pruning()
        self._operands.require_row(op.by.cols)
        cols, k = op.by.cols, op.out.cols
        labels, wide = self._operands.rectangle(op.labels, 0, 1, 0, cols), int(op.labels.tensor.bits == 16)
        command = {
            **{"operation": VectorOperation.TOPK, "rows": 1, "cols": cols, "length": k, "out_wide": wide},
            **({"a_wide": wide} if op.importance else {"a_wide": int(op.by.tensor.bits == 16), "b_wide": wide}),
            **{"importance": IMPORTANCE_ADDS * op.importance, "protected": op.protected},
        }

        def make(row: int, _rows: int, _col: int, _cols: int) -> Task:
            by = {"a": labels} if op.importance else {"a": self._operands.rectangle(op.by, row, 1, 0, cols), "b": labels}
            operands = {**by, "out": self._operands.rectangle(op.out, row, 1, 0, k)}
            return Task(engine=Engine.VECTOR, operator=op, command=command, operands=operands)

        yield Way(make=make, rows=op.out.rows, cols=1, most_rows=1, most_cols=1, col_step=1)

    def fetch(self, op: ir.Fetch) -> Iterator[Way]:
        self._operands.require_pruning()
        source = self._operands.rectangle(op.source, 0, op.source.rows, 0, op.source.cols)
        operands, row_words = {"scratchpad": self._operands.rectangle(op.out, 0, op.out.rows, 0, op.out.cols)}, source.buffer.row_words
        command = {"rows": op.out.rows, "words": source.words}
        if op.numbers:
            operands["numbers"] = self._operands.rectangle(op.numbers, 0, 1, 0, op.numbers.cols)
            command["gathers"] = 1
        if op.shift:
            words = self._operands.layouts[op.source.tensor.name].word(op.source.cols) if op.beside else op.source.rows * row_words
            source = replace(source, shift=self._operands.shift(op.shift, words))
        yield Way.of_one(Task(engine=Engine.LOAD, operator=op, command=command, operands=operands, source=source))

    def gather(self, op: ir.Gather) -> Iterator[Way]:
        self._operands.require_pruning()
        wide = int(op.out.tensor.bits == 16)
        command = {"operation": VectorOperation.GATHER, "rows": op.out.rows, "a_wide": wide, "b_wide": 1, "out_wide": wide}
        for first, count in segments(self._operands.layouts, [op.a, op.out]):

            def make(_row: int, _rows: int, col: int, cols: int, first=first) -> Task:
                operands = {
                    "a": self._operands.rectangle(op.a, 0, op.a.rows, first + col, cols),
                    "b": self._operands.rectangle(op.numbers, 0, 1, 0, op.numbers.cols),
                    "out": self._operands.rectangle(op.out, 0, op.out.rows, first + col, cols),
                }
                return Task(engine=Engine.VECTOR, operator=op, command={**command, "cols": cols}, operands=operands)

            yield Way(make=make, rows=1, cols=count, most_rows=1, most_cols=count, col_step=self._operands.parameters.word_bytes)
