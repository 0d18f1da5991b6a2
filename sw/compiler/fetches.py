"""Rows by numbers: gathered in the scratchpad, or where their matrix is too large for that, fetched from external memory."""

from dataclasses import replace

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir

MOST = 4  # matrices that a scratchpad must hold for their rows to be gathered there


def with_fetches(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """The same network with a Fetch for each Gather of rows of a matrix that takes more of the scratchpad."""

    def fetched(op: ir.Operator) -> ir.Operator:
        if not isinstance(op, ir.Gather):
            return op
        words = op.a.tensor.rows * -(-op.a.tensor.cols * op.a.tensor.bits // (8 * parameters.word_bytes))
        if MOST * words <= parameters.scratchpad_words:
            return op
        return ir.Fetch(name=op.name, node=op.node, when=op.when, source=op.a, numbers=op.numbers, out=op.out)

    return replace(graph, operators=tuple(map(fetched, graph.operators)))
