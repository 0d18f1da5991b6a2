"""What the machine's PIM engine does for an operator of a token's graph."""

from collections.abc import Mapping
from dataclasses import dataclass

from .. import graph as ir
from ..golden.matmul import MatMulParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class PimCommand:
    """fields: of `PIM` but for addresses, zero point and limits. a: the row of bytes that it takes. out: its results, a row. macs: of a
    product, those with numbers that count."""

    fields: Mapping[str, int]
    a: ir.Block | None = None
    out: ir.Block | None = None
    macs: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pim(ir.Operator):
    """Commands, one after the other. parameters: of the products' results, from channel 0 on for each.

    All that the DRAM holds goes from one such operator to the next: their order is that of the graph.
    """

    commands: tuple[PimCommand, ...]
    parameters: MatMulParameters | None = None

    @property
    def inputs(self) -> tuple[ir.Block, ...]:
        """But for partial sums, which it makes itself."""
        made = {block.tensor.name for block in self.outputs}
        return tuple(command.a for command in self.commands if command.a and command.a.tensor.name not in made)

    @property
    def outputs(self) -> tuple[ir.Block, ...]:
        return tuple(command.out for command in self.commands if command.out)

    @property
    def macs(self) -> int:
        return sum(command.macs for command in self.commands)

    @property
    def shared(self) -> bool:
        """Whether all channels have the same parameters."""
        q = self.parameters
        return q is not None and all((values == values[0]).all() for values in (q.bias, q.multiplier, q.shift))

    def __str__(self) -> str:
        sources = ", ".join(map(str, dict.fromkeys(block.tensor for block in self.inputs)))
        made = ", ".join(map(str, dict.fromkeys(block.tensor for block in self.outputs)))
        return f"{made or 'nothing'} = Pim({sources}) in {len(self.commands)} commands  # {self.node}"
