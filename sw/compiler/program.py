"""A compiled network: steps, the constants' memory image and how arrays enter and leave."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import STEP_BYTES, Step
from .. import graph as ir
from .buffers import make_buffers
from .fuse import fuse
from .layout import Buffer, Layout, choose_layouts
from .plan import Plan, make_plan
from .schedule import Scheduler, with_waits


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """name: of the model. graph: as `fuse` and `orders` leave it. prologue: steps that load the constants that stay, once. body: steps of
    each run. labels: of the body's steps.

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
    external: Mapping[str, int]
    image: bytes
    program_offset: int
    memory_bytes: int

    @property
    def code(self) -> bytes:
        """Prologue and body, 128 bytes a step."""
        return b"".join(step.encode() for step in (*self.prologue, *self.body))


def compile_graph(graph: ir.Graph, parameters: MachineParameters, *, name: str = "network") -> Program:
    """Map a graph to a machine. Raises CompileError naming the operator that can't be mapped."""
    graph = fuse(graph, parameters)
    layouts = choose_layouts(graph, parameters)
    buffers = make_buffers(graph, layouts, parameters)
    plan = make_plan(graph, layouts, buffers, parameters)
    external, image, end = _external(graph, buffers, plan, parameters)
    graph = plan.graph
    scheduler = Scheduler(parameters, plan, buffers, external)
    planned = scheduler.body(graph)
    prologue = with_waits(scheduler.prologue(), parameters)
    body = with_waits(planned, parameters)
    return Program(
        name=name,
        parameters=parameters,
        graph=graph,
        plan=plan,
        layouts=layouts,
        prologue=tuple(prologue),
        body=tuple(body),
        labels=tuple(step.label for step in planned),
        external=external,
        image=image,
        program_offset=end,
        memory_bytes=end + (len(prologue) + len(body)) * STEP_BYTES,
    )


def _external(
    graph: ir.Graph, buffers: Mapping[str, Buffer], plan: Plan, parameters: MachineParameters
) -> tuple[dict[str, int], bytes, int]:
    """Offsets of the buffers in external memory, constants first; the constants' bytes; the end, at a multiple of a step."""
    offsets: dict[str, int] = {}
    image = bytearray()
    for buffer in buffers.values():
        if buffer.data is not None:
            offsets[buffer.name] = len(image)
            image += to_slots(buffer.data, parameters)
    end = len(image)
    ports = {port.tensor.name for port in (*graph.inputs, *graph.outputs)}
    for buffer in buffers.values():
        if buffer.data is None and (buffer.name in ports or buffer.name not in plan.resident):
            offsets[buffer.name] = end
            end += buffer.words * parameters.slot_bytes
    return offsets, bytes(image), -(-end // STEP_BYTES) * STEP_BYTES


def to_slots(data: bytes, parameters: MachineParameters) -> bytes:
    """Scratchpad words as they lie in external memory: each in a slot of whole bus beats."""
    word, slot = parameters.word_bytes, parameters.slot_bytes
    if word == slot:
        return data
    return b"".join(data[i : i + word].ljust(slot, b"\0") for i in range(0, len(data), word))


def from_slots(data: bytes, parameters: MachineParameters) -> bytes:
    """The other way."""
    word, slot = parameters.word_bytes, parameters.slot_bytes
    return b"".join(data[i : i + word] for i in range(0, len(data), slot))
