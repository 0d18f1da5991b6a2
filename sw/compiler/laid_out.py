"""A graph whose tensors have layouts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .layout import Buffer, Layout
from .operands import Operands
from .pieces import Pieces


@dataclass(frozen=True, kw_only=True, eq=False)
class LaidOut:
    """layouts, buffers: of its tensors, and of tables, by name. parameters: of the machine in whose words they lie."""

    graph: ir.Graph
    layouts: Mapping[str, Layout]
    buffers: Mapping[str, Buffer]
    parameters: MachineParameters

    def operands(self, staged: Callable[[Buffer], bool]) -> Operands:
        """Of tasks, where these buffers pass through the staging area."""
        fetched = set[str]()
        for op in self.graph.operators:
            if isinstance(op, ir.Fetch) or (isinstance(op, ir.Transfer) and op.a.tensor.name in fetched):
                fetched.add(op.out.tensor.name)
        return Operands(
            parameters=self.parameters,
            layouts=self.layouts,
            buffers=self.buffers,
            staged=staged,
            pieces=Pieces.of(self.graph, self.parameters),
            fetched=fetched,
        )
