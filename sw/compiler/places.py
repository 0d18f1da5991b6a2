"""Where buffers lie in the scratchpad: each from the first operator that needs it to the last one, and away from what is read with it."""

from collections.abc import Container, Iterator, Mapping, Sequence

from .. import graph as ir
from .buffers import operator_name
from .errors import CompileError
from .laid_out import LaidOut
from .layout import Buffer
from .pipeline import Assignment, Group, between

SPREAD = 2  # operators: one for each engine beside that of the tensor's last reader


def lifetimes(graph: ir.Graph, groups: Sequence[Group] = ()) -> Iterator[tuple[str, int, int]]:
    """(tensor, first operator, last operator) of each activation, by the operators' positions, one for all of a group; inputs start at
    -1."""
    first = {port.tensor.name: -1 for port in graph.inputs}
    last = dict(first)
    leader = {name: group.operators[0] for group in groups for name in group.operators}
    position = {op.name: i for i, op in enumerate(graph.operators)}
    for op in graph.operators:
        i = position[leader.get(op.name, op.name)]
        for block in (*op.inputs, *op.outputs):
            if block.tensor.data is None:
                first.setdefault(block.tensor.name, i)
                last[block.tensor.name] = i
    return ((name, start, last[name]) for name, start in sorted(first.items(), key=lambda item: item[1]))


def place(
    network: LaidOut, bands: Mapping[str, int], assignment: Assignment, limit: int, in_memory: Container[str], *, spread: bool
) -> dict[str, int]:
    """Addresses below ``limit`` of the buffers that find a place. bands: words of those of which only bands are kept. in_memory: names of
    those that need no place. Raises CompileError where one of ``bands`` finds none.

    spread: keep what is read together in different banks, and each activation's place for SPREAD operators longer than needed, so that
    operators on different engines can overlap.
    """
    graph, buffers = network.graph, network.buffers
    sizes = {name: buffer.words for name, buffer in buffers.items()} | dict(bands)
    partners = _of_one_operator(graph, buffers), _of_neighbours(graph)
    placed: dict[str, int] = {}

    def range_of(name: str) -> tuple[int, int]:
        return placed[name], placed[name] + sizes[name]

    def place(name: str, taken: list[tuple[int, int]]) -> None:
        avoid = [[range_of(other) for other in group.get(name, ()) if spread and other in placed] for group in partners]
        address = _best_address(sizes[name], sorted(taken), limit, network.parameters.region_words, avoid)
        if address is not None:
            placed[name] = address

    linked = between(graph, assignment.pipelines)
    activations = () if assignment.spills else lifetimes(graph, assignment.groups)
    spans = [span for span in activations if span[0] not in in_memory and span[0] not in linked]
    ends = {name: end for name, _, end in spans}
    for name, start, _ in spans:
        place(name, [range_of(other) for other in placed if ends[other] + spread * SPREAD >= start])
        if name not in placed and sizes[name] < buffers[name].words:
            raise CompileError(f"a band of {name} needs {sizes[name]} words, for which the scratchpad has no place")
    constants = [buffer.name for buffer in buffers.values() if buffer.data is not None and buffer.name not in in_memory]
    for name in sorted(constants, key=lambda name: -buffers[name].words):
        place(name, [range_of(other) for other in placed])
    return placed


def _of_one_operator(graph: ir.Graph, buffers: Mapping[str, Buffer]) -> dict[str, set[str]]:
    """For each buffer those that some operator reads at the same time, its tables among them."""
    tables: dict[str, set[str]] = {}
    for name in buffers:
        tables.setdefault(operator_name(name), set()).add(name)
    partners: dict[str, set[str]] = {}
    for op in graph.operators:
        together = {block.tensor.name for block in op.inputs} | tables.get(op.name, set())
        _pair(partners, together, together)
    return partners


def _of_neighbours(graph: ir.Graph) -> dict[str, set[str]]:
    """For each tensor those that another engine may read, or write, at the same time; or the compute unit, for its next command."""
    partners: dict[str, set[str]] = {}
    for i, op in enumerate(graph.operators):
        for other in graph.operators[i + 1 : i + 1 + SPREAD]:
            for blocks in ("inputs", "outputs"):
                _pair(partners, *({block.tensor.name for block in getattr(o, blocks)} for o in (op, other)))
    return partners


def _pair(partners: dict[str, set[str]], some: set[str], others: set[str]) -> None:
    for one, many in ((some, others), (others, some)):
        for name in one:
            partners.setdefault(name, set()).update(many - {name})


def _best_address(
    words: int, taken: list[tuple[int, int]], limit: int, region_words: int, avoid: list[list[tuple[int, int]]]
) -> int | None:
    """The lowest free address of those with the fewest words in banks of the ranges to avoid, of the first group of these above all; None
    where there is no place."""
    gaps, start = [], 0
    for low, high in [*taken, (limit, limit)]:
        gaps.append((start, low))
        start = max(start, high)
    starts = sorted(
        {at for low, high in gaps for at in (low, *range(-(-low // region_words) * region_words, high, region_words)) if at + words <= high}
    )
    regions = [{region for low, high in group for region in range(low // region_words, (high - 1) // region_words + 1)} for group in avoid]

    def shared(at: int) -> list[int]:
        return [sum(max(0, min(at + words, (r + 1) * region_words) - max(at, r * region_words)) for r in group) for group in regions]

    return min(starts, key=lambda at: (shared(at), at), default=None)
