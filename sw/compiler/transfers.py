"""Tensors that leave the scratchpad and come back: stored and loaded whole, in one step each."""

from collections.abc import Iterator
from dataclasses import replace

from ...rtl.arch.steps import Engine
from .. import graph as ir
from .layout import Buffer
from .operands import Operands
from .task import Operand, Task, Way


class Transfers:
    """Makes the tasks of such operators from their ``operands``."""

    def __init__(self, operands: Operands) -> None:
        self._operands = operands

    def of(self, op: ir.Transfer) -> Iterator[Way]:
        here, there = (op.a, op.out) if op.stores else (op.out, op.a)
        buffers = self._operands.buffers
        inside, outside = (_whole(buffers[block.tensor.name]) for block in (here, there))
        engine = Engine.STORE if op.stores else Engine.LOAD
        command = {"rows": inside.rows, "words": inside.words}
        yield Way.of_one(Task(engine=engine, operator=op, command=command, operands={"scratchpad": inside}, source=outside))


def copy_of(tensor: ir.Tensor, name: str) -> ir.Tensor:
    return replace(tensor, name=name, data=None)


def _whole(buffer: Buffer) -> Operand:
    return Operand(buffer=buffer, row=0, rows=buffer.rows, word=0, words=buffer.row_words)
