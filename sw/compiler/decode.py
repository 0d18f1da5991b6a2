"""A causal network that a machine with a PIM engine computes a token at a time: a body of steps for each place of a token.

Constants, tables and tensors have their places from the last token's graph, in which they are largest; so the bodies differ in dimensions
and in places of the DRAM alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...rtl.arch.checks import require
from ...rtl.arch.links import Connections
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import STEP_BYTES, Step
from ...rtl.arch.workers import workers_of
from .. import graph as ir
from ..pim.placement import place
from ..pim.token_graph import TokenGraphs, faster_in_dram
from .dram_rows import DramRows
from .errors import CompileError
from .laid_out import LaidOut
from .layout import Buffer, choose_layouts
from .plan import plan_for
from .predict import Resources
from .program import Compiler, Program, fused
from .reach import banks_reached
from .schedule import PlannedStep, Scheduler, with_waits


def compile_decoder(graph: ir.Graph, parameters: MachineParameters, resources: Resources, *, name: str) -> Program:
    """The program for the graph of a whole sequence.

    Raises DecoderError for a graph that can't be computed so, MappingError where the DRAM is too small, CompileError naming the operator
    that can't be mapped.
    """
    dram = parameters.dram
    require(dram is not None, "pim", "a DRAM for a decoder", parameters.pim)
    assert dram
    placement = place(graph, dram)
    in_dram = faster_in_dram(placement, parameters.bus_bytes)
    graphs = TokenGraphs(graph=graph, placement=placement, in_dram=in_dram)
    rows = DramRows(image=placement.image(graph, in_dram), parameters=parameters)
    compiler = Compiler(graphs.at(placement.tokens - 1), parameters, resources, name=name, dram_rows=rows)
    last, constants = compiler.program(), {name: buffer for name, buffer in compiler.network.buffers.items() if buffer.data is not None}
    planned = [_planned(last, constants, fused(graphs.at(row), parameters)) for row in range(placement.tokens)]
    for row, steps in enumerate(planned):
        if tuple(step.label for step in steps) != last.labels:
            raise CompileError(f"token {row} needs other steps than the last one: {len(steps)} instead of {len(last.labels)}")
    bodies = tuple(tuple(with_waits(steps, parameters)) for steps in planned)
    everything = sum(map(len, bodies)) + len(last.prologue)
    return replace(
        last,
        positions=bodies,
        connections=_connections(last, planned, bodies),
        memory_bytes=last.program_offset + everything * STEP_BYTES,
    )


def _planned(last: Program, constants: Mapping[str, Buffer], graph: ir.Graph) -> list[PlannedStep]:
    """Of a token, with the last one's constants and tables, of which it needs no more than the first part."""
    p, operators = last.parameters, {op.name: op for op in graph.operators}
    graph = replace(graph, operators=tuple(operators[op.name] for op in last.graph.operators))
    layouts = choose_layouts(graph, p)
    buffers = {**constants, **{name: layout.buffer() for name, layout in layouts.items() if layout.tensor.data is None}}
    plan = plan_for(last.plan, LaidOut(graph=graph, layouts=layouts, buffers=buffers, parameters=p))
    return Scheduler(plan, last.external).body()


def _connections(last: Program, planned: Sequence[Sequence[PlannedStep]], bodies: Sequence[Sequence[Step]]) -> Connections:
    """Of all tokens' steps, and the prologue's."""
    reach: dict[str, frozenset[int]] = dict(last.connections.reach or {})
    for steps, body in zip(planned, bodies, strict=True):
        of_token: Mapping[str, frozenset[int]] = banks_reached(zip(steps, workers_of(body, last.parameters), strict=True), last.parameters)
        reach |= {port: banks | reach.get(port, frozenset()) for port, banks in of_token.items()}
    return Connections(links=last.plan.links, reach=reach)
