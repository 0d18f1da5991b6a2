"""A compiled network: steps, the constants' memory image and how arrays enter and leave."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ...rtl.arch.links import Connections
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import STEP_BYTES, Step
from ...rtl.arch.workers import workers_of
from .. import graph as ir
from .arrange import arrange
from .buffers import make_buffers
from .decision import Decision
from .depthwise import with_deform_engine
from .dram_rows import DramRows
from .fetches import with_fetches
from .fuse import fuse
from .halves import with_halves
from .laid_out import LaidOut
from .layout import Buffer, Layout, choose_layouts
from .memory_map import MemoryMap
from .optimal import fewer_moves
from .order import depends_on_more
from .packing import pack
from .pipeline import SEQUENTIAL, Assignment, between
from .plan import Plan, make_plans
from .predict import Resources, Timing, predict
from .reach import banks_reached
from .schedule import Scheduler, with_waits
from .slots import to_slots
from .smallest import smallest
from .topk import with_picks

ORDER_SECONDS = 2.0  # to find the order that takes least of the scratchpad
MOST_OPERATORS = 500  # of a graph for which integer programs are tried


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """name: of the model. graph: as `fuse`, `pack` and `orders` leave it. prologue: steps that load the constants that stay,
    once. body: steps of each run. labels, timings: of the body's steps. connections: those that a circuit for this program alone needs.
    positions: of a decoder the body for each token, as many steps with the same labels; ``body`` is the last one. Else none.
    decision: of the planner. memory: its map, where the plan has no bands.

    external: byte offset in the driver's buffer of each graph input, output and stored buffer. image: the constants, from offset 0.
    memory_bytes: of the whole buffer, program included; program_offset: of the steps in it.
    """

    name: str
    parameters: MachineParameters
    graph: ir.Graph
    plan: Plan
    layouts: Mapping[str, Layout]
    prologue: tuple[Step, ...]
    body: tuple[Step, ...]
    labels: tuple[str, ...]
    timings: tuple[Timing, ...]
    connections: Connections
    external: Mapping[str, int]
    image: bytes
    program_offset: int
    memory_bytes: int
    decision: Decision | None = None
    memory: MemoryMap | None = None
    positions: tuple[tuple[Step, ...], ...] = ()

    @property
    def code(self) -> bytes:
        """Prologue and body, or bodies, 128 bytes a step."""
        bodies = self.positions or (self.body,)
        return b"".join(step.encode() for step in (*self.prologue, *(step for body in bodies for step in body)))

    @property
    def link_bytes(self) -> int:
        """That its links hold."""
        return sum(link.words for link in self.plan.links) * self.parameters.word_bytes

    @property
    def cycles(self) -> int:
        """Of a run, predicted."""
        return round(max((timing.end for timing in self.timings), default=0))


class Compiler:
    """Maps a graph to a machine, in one way or another. network: as `fuse` and `pack` leave it. dram_rows: what the DRAM that computes
    holds, if there is one."""

    def __init__(
        self, graph: ir.Graph, parameters: MachineParameters, resources: Resources, *, name: str, dram_rows: DramRows | None = None
    ) -> None:
        prepared, self.parameters, self.resources = fused(graph, parameters), parameters, resources
        self._name, self._dram_rows = name, dram_rows
        layouts = choose_layouts(prepared, parameters)
        buffers = make_buffers(prepared, layouts, parameters)
        self.network = LaidOut(graph=prepared, layouts=layouts, buffers=buffers, parameters=parameters)
        stored = [*buffers.values(), *([dram_rows.buffer] if dram_rows else [])]
        self._constants, self._image = _constants(stored, parameters)

    def program(self, assignment: Assignment = SEQUENTIAL, *, optimal: bool = True) -> Program:
        """The one that is predicted to be the fastest. optimal: one that is kept: of plans with the fewest moves too, which take longer
        to find, and replayed. Raises CompileError naming the operator that can't be mapped, or the pipeline."""
        stay = self.resources.constants_stay
        plans = make_plans(self.network, assignment, constants_stay=stay, lowest=lambda: self._lowest)
        if optimal and len(self.network.graph.operators) <= MOST_OPERATORS:
            least = min(plans, key=lambda plan: plan.words_moved)
            plans += [better] if (better := fewer_moves(least, constants_stay=stay)) else []
        best = min((self._of(plan) for plan in plans), key=lambda program: program.cycles)
        if not optimal:
            return best
        p = self.parameters
        memory = MemoryMap.of(best.plan, words=p.scratchpad_words, word_bytes=p.word_bytes, slot_bytes=p.slot_bytes)
        return replace(best, memory=memory)

    @cached_property
    def _lowest(self) -> ir.Graph | None:
        """In the order that takes least of the scratchpad; None where that can't be chosen, or there is too much to choose from."""
        operators = self.network.graph.operators
        if len(operators) > MOST_OPERATORS or self.parameters.dram or any(map(depends_on_more, operators)):
            return None
        return smallest(self.network, ORDER_SECONDS).graph

    def _of(self, plan: Plan) -> Program:
        p = self.parameters
        external, end = self._external(plan)
        scheduler = Scheduler(plan, external)
        rows = self._dram_rows
        before, planned = [*(rows.steps(external[rows.buffer.name]) if rows else []), *scheduler.prologue()], scheduler.body()
        prologue, body = with_waits(before, p), with_waits(planned, p)
        whose = zip((*before, *planned), workers_of((*prologue, *body), p), strict=True)
        return Program(
            name=self._name,
            parameters=p,
            graph=plan.graph,
            plan=plan,
            layouts=plan.layouts,
            prologue=tuple(prologue),
            body=tuple(body),
            labels=tuple(step.label for step in planned),
            timings=tuple(predict(planned, body, plan.links, p, self.resources)),
            connections=Connections(links=plan.links, reach=banks_reached(whose, p)),
            external=external,
            image=self._image,
            program_offset=end,
            memory_bytes=end + (len(prologue) + len(body)) * STEP_BYTES,
        )

    def _external(self, plan: Plan) -> tuple[dict[str, int], int]:
        """Offsets of the buffers in external memory, constants first; the end, at a multiple of a step."""
        offsets, end = dict(self._constants), len(self._image)
        ports = {port.tensor.name for port in (*plan.graph.inputs, *plan.graph.outputs)}
        linked = between(plan.graph, plan.assignment.pipelines)
        for buffer in plan.buffers.values():
            if buffer.data is None and buffer.name not in linked and (buffer.name in ports or buffer.name not in plan.resident):
                offsets[buffer.name] = end
                end += buffer.words * self.parameters.slot_bytes
        return offsets, -(-end // STEP_BYTES) * STEP_BYTES


def fused(graph: ir.Graph, parameters: MachineParameters) -> ir.Graph:
    """With what the machine does in one."""
    prepared = with_halves(with_fetches(with_picks(graph, parameters), parameters), parameters)
    return with_deform_engine(pack(arrange(fuse(prepared, parameters), parameters), parameters), parameters)


def _constants(buffers: Iterable[Buffer], parameters: MachineParameters) -> tuple[dict[str, int], bytes]:
    """Their offsets in external memory, and their bytes."""
    offsets: dict[str, int] = {}
    image = bytearray()
    for buffer in buffers:
        if buffer.data is not None:
            offsets[buffer.name] = len(image)
            image += to_slots(buffer.data, parameters)
    return offsets, bytes(image)
