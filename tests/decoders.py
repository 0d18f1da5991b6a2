"""Small causal networks, compiled for machines with a PIM engine."""

from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.decode import compile_decoder
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Program
from celosia.tb.graphs import Builder

CHOICES = 11  # tokens that there are


def causal_network(tokens: int, cols: int, heads: int, width: int, seed: int = 0) -> ir.Graph:
    """A layer of attention, one of a product and a table, and a sum."""
    builder = Builder(seed)
    numbers = builder.tensor(1, tokens, 16, symmetric=True)
    x = builder.fetched(numbers, CHOICES, cols)
    y = builder.add(x, builder.attention(x, heads, width, length=1, symmetric=True), 8)
    z = builder.linear(builder.table(builder.linear(y, 40, 8), 8), 3, 16)
    return builder.graph([numbers], [y, z])


def compiled(graph: ir.Graph, machine: MachineParameters) -> Program:
    return compile_decoder(graph, machine, DEFAULT_RESOURCES, name="decoder")
