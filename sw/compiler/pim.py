"""Operators of a PIM engine: a task for each command."""

from collections.abc import Iterator

from ...rtl.arch.steps import Engine
from ..pim.operator import Pim, PimCommand
from .buffers import records_name
from .errors import CompileError
from .operands import Operands
from .task import Operand, Task, Way


class PimTasks:
    """Makes the tasks of such operators from their ``operands``."""

    def __init__(self, operands: Operands) -> None:
        self._operands = operands

    def of(self, op: Pim) -> Iterator[Way]:
        """Raises CompileError where the machine can't do it."""
        if self._operands.parameters.dram is None:
            raise CompileError("it needs a machine with a pim")
        return (Way.of_one(self._task(op, command)) for command in op.commands)

    def _task(self, op: Pim, command: PimCommand) -> Task:
        fields, operands = dict(command.fields), dict[str, Operand]()
        if command.a:
            operands["a"] = self._operands.rectangle(command.a, 0, 1, 0, command.a.cols)
            fields["length"] = command.a.cols
        if command.out:
            operands["out"] = self._operands.rectangle(command.out, 0, 1, 0, command.out.cols)
        if command.out and not fields.get("raw"):
            assert op.parameters
            records = self._operands.buffers[records_name(op)]
            operands["records"] = Operand(buffer=records, row=0, rows=1, word=0, words=records.row_words)
            fields |= {name: getattr(op.parameters, name) for name in ("out_zero_point", "low", "high")}
            fields |= {"shared": int(op.shared), "out_wide": int(command.out.tensor.bits == 16)}
        return Task(engine=Engine.PIM, operator=op, command=fields, operands=operands)
