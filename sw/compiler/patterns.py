"""Whether operators run one after the other, each on all units, or in groups: decided before the circuit is made.

A group is a pipeline through links or, of feature maps, operators in bands, side by side or in turn. A chain of operators is cut into
groups and single operators. Each group that a chain could have is tried in the whole network, alike in all chains that are alike; its gain
is what the prediction then has fewer cycles. The best cut of a chain is found by dynamic programming over its cut points, as if gains added
up; that they do is checked by predicting the whole network once more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..text_enum import TextEnum
from .bands import Bands
from .chains import chains, is_map
from .decision import Alternative, Decision
from .errors import CompileError
from .pipeline import Assignment, Group, Pipeline
from .predict import DEFAULT_RESOURCES, Resources
from .program import Compiler, Program
from .shapes import in_turn, pipelines, side_by_side


class Pattern(TextEnum):
    SEQUENTIAL = "sequential"  # every product on all units
    DATAFLOW = "dataflow"  # side by side wherever operators can be, and every other product on one unit
    AUTO = "auto"  # what the prediction says is faster


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """Operators first to last - 1 of all chains of a kind as groups, alike, and the program that it makes."""

    first: int
    last: int
    groups: tuple[Group, ...]
    program: Program

    @property
    def in_turn(self) -> bool:
        return isinstance(self.groups[0], Bands) and not self.groups[0].units


def compile_graph(
    graph: ir.Graph,
    parameters: MachineParameters,
    *,
    name: str = "network",
    pattern: Pattern = Pattern.SEQUENTIAL,
    resources: Resources = DEFAULT_RESOURCES,
) -> Program:
    """Map a graph to a machine. Raises CompileError naming the operator that can't be mapped."""
    if pattern is Pattern.SEQUENTIAL:
        return Compiler(graph, parameters, resources, name=name).program()
    return compile_patterns(graph, parameters, name=name, resources=resources)[pattern]


def compile_patterns(
    graph: ir.Graph, parameters: MachineParameters, *, name: str = "network", resources: Resources = DEFAULT_RESOURCES
) -> dict[Pattern, Program]:
    """In every pattern, each with the others as alternatives. Raises CompileError as `compile_graph`."""
    compiler = Compiler(graph, parameters, resources, name=name)
    sequential = compiler.program(optimal=False)
    planner = _Planner(compiler, sequential)
    programs = {Pattern.SEQUENTIAL: sequential, Pattern.DATAFLOW: planner.dataflow(), Pattern.AUTO: planner.fastest()}
    programs = {pattern: compiler.program(program.plan.assignment) for pattern, program in programs.items()}
    programs[Pattern.AUTO] = min(programs[Pattern.AUTO], programs[Pattern.SEQUENTIAL], key=lambda program: program.cycles)
    alternatives, reasons = [_alternative(pattern.value, program) for pattern, program in programs.items()], tuple(planner.reasons())

    def decision(taken: Pattern) -> Decision:
        return Decision(alternatives=tuple(sorted(alternatives, key=lambda a: a.pattern != taken)), reasons=reasons)

    return {pattern: replace(program, decision=decision(pattern)) for pattern, program in programs.items()}


class _Planner:
    def __init__(self, compiler: Compiler, sequential: Program) -> None:
        self._compiler, self._sequential = compiler, sequential
        self._operators = {op.name: op for op in compiler.network.graph.operators}
        found, self._why_not = chains(compiler.network.graph)
        kinds: dict[tuple[str, ...], list[list[str]]] = {}
        for chain in found:
            kinds.setdefault(tuple(_kind(self._operators[name]) for name in chain), []).append(chain)
        self._kinds = list(kinds.values())
        self._failures: list[str] = []
        self._runs = [list(self._tried(chains)) for chains in self._kinds]

    def fastest(self) -> Program:
        """With the groups that make it faster."""
        chosen = self._best(self._runs, lambda run: self._sequential.cycles - run.program.cycles)
        programs = [self._sequential, *(run.program for runs in self._runs for run in runs)]
        together = self._program([group for run in chosen for group in run.groups]) if len(chosen) > 1 else None
        return min([*programs, *([together] if together else [])], key=lambda program: program.cycles)

    def dataflow(self) -> Program:
        """With as many operators side by side as can be, in those groups that make it fastest, and every other product on a unit of its
        own."""
        beside = [[run for run in runs if not run.in_turn] for runs in self._runs]
        most = 1 + self._sequential.cycles + max((run.program.cycles for runs in beside for run in runs), default=0)
        chosen = self._best(beside, lambda run: (run.last - run.first - 1) * most - run.program.cycles)
        groups = [group for run in chosen for group in run.groups]
        taken = {name for group in groups for name in group.operators}
        others = [op.name for op in self._compiler.network.graph.operators if isinstance(op, ir.MatMul) and op.name not in taken]
        units = {name: (i % self._compiler.parameters.units,) for i, name in enumerate(others)}
        return self._program(groups, units) or self._sequential

    def reasons(self) -> Iterator[str]:
        """Of the groups that were tried the best of each run of operators, why chains end, and what failed."""
        base = self._sequential
        for runs in self._runs:
            for run in runs:
                cycles, words = (base.cycles - run.program.cycles, base.plan.words_moved - run.program.plan.words_moved)
                saved = words * base.parameters.slot_bytes
                yield f"{run.groups[0]}: {cycles:+,} cycles and {saved:+,} bytes saved"
        ends: dict[str, list[str]] = {}
        for name, why in self._why_not.items():
            ends.setdefault(why, []).append(name)
        for why, (name, *others) in ends.items():
            yield f"{name} and {len(others)} others end a chain: {why}" if others else f"{name} ends a chain: {why}"
        yield from dict.fromkeys(self._failures)

    def _best(self, runs: Sequence[Sequence[_Run]], gain: Callable[[_Run], int]) -> list[_Run]:
        """Of all chains."""
        return [run for alike, of_it in zip(self._kinds, runs, strict=True) for run in _best_cut(len(alike[0]), of_it, gain)]

    def _tried(self, alike: Sequence[Sequence[str]]) -> Iterator[_Run]:
        """The best groups of a kind of each run of two or more operators of chains that are alike."""
        for first, last in combinations(range(len(alike[0]) + 1), 2):
            for shapes in self._shapes(alike[0], first, last) if last - first > 1 else ():
                tried = [
                    _Run(first=first, last=last, groups=groups, program=program)
                    for shape in shapes
                    for groups in [tuple(shape.renamed(chain[first:last]) for chain in alike)]
                    if (program := self._program(groups))
                ]
                if tried:
                    yield min(tried, key=lambda run: run.program.cycles)

    def _shapes(self, chain: Sequence[str], first: int, last: int) -> Iterator[Iterator[Group]]:
        """The groups that are tried for operators first to last - 1: pipelines, or where feature maps are between them bands: side by side
        for as many as there are, in turn where one of these maps has no place, or the next one to it."""
        p, operators = self._compiler.parameters, [self._operators[name] for name in chain]
        is_maps = [is_map(*pair) for pair in pairwise(operators)]
        if not any(is_maps[first : last - 1]):
            yield pipelines(operators[first:last], p)
        elif all(is_maps[first : last - 1]):
            if not any(is_maps[max(first - 1, 0) : first] + is_maps[last - 1 : last]):
                yield side_by_side(operators[first:last], p)
            spilled = [op.outputs[0].tensor.name not in self._sequential.plan.resident for op in operators[first : last - 1]]
            if any(spilled[:2]) and any(spilled[-2:]):
                yield in_turn(operators[first:last])

    def _program(self, groups: Sequence[Group], units: Mapping[str, tuple[int, ...]] | None = None) -> Program | None:
        """None where the machine has no room for it."""
        most = self._compiler.resources.link_kib
        through_links = tuple(group for group in groups if isinstance(group, Pipeline))
        bands = tuple(group for group in groups if isinstance(group, Bands))
        try:
            program = self._compiler.program(Assignment(pipelines=through_links, bands=bands, units=units or {}), optimal=False)
        except CompileError as e:
            self._failures.append(str(e))
            return None
        if program.link_bytes > 1024 * most:
            self._failures.append(f"{groups[0]}: links of {program.link_bytes} bytes are more than {most} KiB")
            return None
        return program


def _kind(op: ir.Operator) -> str:
    """What operators of the same work have in common."""
    blocks = (f"{block.rows}x{block.cols}:{block.tensor.bits}" for block in (*op.inputs, *op.outputs))
    return f"{type(op).__name__} {' '.join(blocks)}"


def _best_cut(length: int, runs: Sequence[_Run], gain: Callable[[_Run], int]) -> list[_Run]:
    """Runs that don't overlap, of the largest gain in all: for each cut point the best cut of what is before it."""
    best: list[tuple[int, list[_Run]]] = [(0, [])]
    for end in range(1, length + 1):
        options = [best[-1], *((best[run.first][0] + gain(run), [*best[run.first][1], run]) for run in runs if run.last == end)]
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1]


def _alternative(pattern: str, program: Program) -> Alternative:
    return Alternative(
        pattern=pattern,
        groups=tuple(str(group) for group in program.plan.assignment.groups),
        cycles=program.cycles,
        moved_bytes=program.plan.words_moved * program.parameters.slot_bytes,
        link_bytes=program.link_bytes,
    )
