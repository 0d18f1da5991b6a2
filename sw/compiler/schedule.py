"""The first schedule: tasks in graph order, loads one task ahead, and the waits that keep memory consistent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from typing_extensions import Self

from ...rtl.arch.links import link_address
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import COMMANDS, FLAGS, WAIT_BITS, WAITS, Engine, Step, place_bits
from ...rtl.arch.workers import Worker, by_unit, workers
from .. import graph as ir
from .layout import Buffer
from .plan import Plan
from .task import Operand, Task

MAX_TRANSFER_WORDS = 1 << 14  # of one row of a transfer
PIECES = 8  # in which inputs come and outputs leave, so that computing begins before the last one is there
LEAST_PIECE_WORDS = 256
NEARBY = 16  # tasks that may change places
_FIELDS = {engine: {field.name for field in record.fields} for engine, record in COMMANDS.items()}


@dataclass(frozen=True)
class Access:
    """Scratchpad words, or bytes of external memory, that a step reads or writes: rows of ``size``, ``stride`` apart, from start to end.
    late: by the compute unit's a. operand: which of the step's it is, if it is one."""

    external: bool
    start: int
    end: int
    size: int
    stride: int
    writes: bool
    late: bool = False
    operand: str = ""

    @classmethod
    def of(
        cls, start: int, rows: int, size: int, stride: int, *, writes: bool, external: bool = False, late: bool = False, operand: str = ""
    ) -> Self:
        return cls(external, start, start + (rows - 1) * stride + size, size, stride, writes, late, operand)

    def overlaps(self, other: "Access") -> bool:
        if not (self.external == other.external and self.start < other.end and other.start < self.end):
            return False
        if self.stride != other.stride or self.stride == 0:
            return True
        column = (other.start - self.start) % self.stride  # of the other's rows in this one's
        return column < self.size or column + other.size > self.stride

    def conflicts(self, other: "Access") -> bool:
        return self.overlaps(other) and (self.writes or other.writes)

    def reads_what(self, other: "Access") -> bool:
        """Whether it reads what ``other`` writes."""
        return self.overlaps(other) and other.writes and not self.writes


class Traffic(NamedTuple):
    """Words of a link."""

    link: int
    words: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedStep:
    """A step without its waits. label: the operator or buffer that it works for. when: the flag that must be set, or 0. unit: which of
    the engine's does it, or None for any. fills, frees: words of a link that it writes, and that it reads and frees."""

    engine: Engine
    command: Mapping[str, int]
    accesses: tuple[Access, ...]
    label: str
    when: int = 0
    unit: int | None = None
    fills: Traffic | None = None
    frees: Traffic | None = None

    def conflicts(self, other: "PlannedStep") -> bool:
        """Whether their order matters."""
        return bool(self.links & other.links) or any(a.conflicts(b) for a in self.accesses for b in other.accesses)

    @property
    def links(self) -> set[int]:
        """Of which it uses one end."""
        return {traffic.link for traffic in (self.fills, self.frees) if traffic}

    def reads_what(self, earlier: "PlannedStep") -> bool:
        """Whether it reads what ``earlier`` writes."""
        return any(a.reads_what(b) for a in self.accesses for b in earlier.accesses)

    def needs(self, earlier: "PlannedStep", *, late: bool, same_worker: bool) -> bool:
        """Whether one of its accesses, of those that are ``late`` or of the others, must wait until ``earlier`` is complete. A worker
        starts a step's writes after all accesses of its earlier steps, so there only a result that is read matters."""
        needs = Access.reads_what if same_worker else Access.conflicts
        return any(needs(a, b) for a in self.accesses if a.late is late for b in earlier.accesses)


Part = tuple[list[PlannedStep], list[PlannedStep]]  # a task's loads, and its step with the stores that follow


class Scheduler:
    """external: byte offset of each buffer that lies in external memory."""

    def __init__(self, plan: Plan, external: Mapping[str, int]) -> None:
        self._p, self._plan, self._buffers, self._external = plan.parameters, plan, plan.buffers, external
        watched = [op.name for op in plan.graph.operators if isinstance(op, ir.Softmax) and op.threshold is not None]
        self._flags = {name: 1 + i % FLAGS for i, name in enumerate(watched)}

    def prologue(self) -> list[PlannedStep]:
        """Loads of the constants that stay."""
        constants = [b for b in self._buffers.values() if b.data is not None and b.name in self._plan.resident]
        return [step for buffer in constants for step in self._whole(Engine.LOAD, buffer)]

    def body(self) -> list[PlannedStep]:
        """One run: inputs, tasks, outputs."""
        graph, resident = self._plan.graph, self._plan.resident
        inputs = [self._buffers[port.tensor.name] for port in graph.inputs if port.tensor.name in resident]
        outputs = [self._buffers[port.tensor.name] for port in graph.outputs if port.tensor.name in resident]
        steps = [step for buffer in inputs for step in self._whole(Engine.LOAD, buffer)]
        parts = [self._task(task, self._plan.staging[i % len(self._plan.staging)]) for i, task in enumerate(self._plan.tasks)]
        parts = _awaited_first(parts)
        stores = [step for buffer in outputs for step in self._whole(Engine.STORE, buffer)]
        last_writer = [self._last_writer(store, parts, graph) for store in stores]
        # A task's loads come before the work of the task before it, in another part of the staging area, unless they need its result.
        ahead: list[PlannedStep] = []
        for i, (loads, work) in enumerate(parts):
            steps += [load for load in loads if load not in ahead]
            following = parts[i + 1][0] if i + 1 < len(parts) else []
            ahead = [load for load in following if not any(load.conflicts(step) for step in work)]
            steps += ahead + work + [store for store, last in zip(stores, last_writer, strict=True) if last == i]
        return steps

    @staticmethod
    def _last_writer(store: PlannedStep, parts: Sequence[Part], graph: ir.Graph) -> int:
        """Of what an output's store reads; what comes to lie there later is not its."""
        makers = {op.name for op in graph.operators if any(block.tensor.name == store.label for block in op.outputs)}
        return max(i for i, (_, work) in enumerate(parts) if any(step.label in makers and store.reads_what(step) for step in work))

    def _whole(self, engine: Engine, buffer: Buffer) -> Iterator[PlannedStep]:
        address = self._plan.resident[buffer.name]
        size = min(max(-(-buffer.words // PIECES), LEAST_PIECE_WORDS), MAX_TRANSFER_WORDS)
        for first in range(0, buffer.words, size):
            words = min(size, buffer.words - first)
            external = self._external[buffer.name] + first * self._p.slot_bytes
            yield self._transfer(engine, external, 0, address + first, words, 1, words, buffer.name)

    def _transfer(
        self, engine: Engine, external: int, external_stride: int, scratchpad: int, stride: int, rows: int, words: int, label: str
    ) -> PlannedStep:
        loads = engine is Engine.LOAD
        command = {
            **{"external": external, "external_stride": external_stride, "rows": rows, "words": words},
            **{"scratchpad": scratchpad, "scratchpad_stride": stride},
        }
        accesses = (
            Access.of(external, rows, words * self._p.slot_bytes, external_stride, writes=not loads, external=True),
            Access.of(scratchpad, rows, words, stride, writes=loads, operand="scratchpad"),
        )
        return PlannedStep(engine=engine, command=command, accesses=accesses, label=label)

    def _task(self, task: Task, staging: int) -> Part:
        loads, stores, accesses, traffic = [], [], [], {}
        command = dict(task.command)
        for field, operand in task.operands.items():
            writes = field == "out" or (field == "scratchpad" and task.engine is Engine.LOAD)
            base = None if operand.shift else self._plan.resident.get(operand.buffer.name)
            if operand.ring:
                address, stride = link_address(operand.ring.link) + operand.ring.position, operand.buffer.row_words
                traffic["fills" if writes else "frees"] = Traffic(operand.ring.link, operand.rows * stride)
                if not writes:
                    command[f"{field}_frees"] = traffic["frees"].words
            elif base is None:
                address, stride = staging, operand.stride
                staging += operand.size
                transfer = self._staged(Engine.STORE if writes else Engine.LOAD, operand, address, task.operator.name)
                (stores if writes else loads).append(transfer)
            else:
                stride = operand.buffer.row_words
                address = base + (operand.row - operand.origin) * stride + operand.word
            if field in task.walks:
                command |= task.walks[field](address, stride)
            else:
                command[field] = address
                if f"{field}_stride" in _FIELDS[task.engine]:  # else it is one run of words
                    command[f"{field}_stride"] = 0 if operand.repeat else stride
            late = task.engine is Engine.COMPUTE and field == "a"
            if not operand.ring:  # whose words wait for each other
                accesses.append(Access.of(address, operand.rows, operand.words, stride, writes=writes, late=late, operand=field))
        if command.get("repeated") and not command.get("packed"):
            command["out_line"] = 2 * command["m"] * command["out_stride"]
        if task.source:
            command |= self._fetched(task.source, command)
            source = task.source.buffer
            size = source.words * self._p.slot_bytes
            writes = task.engine is Engine.STORE
            accesses.append(Access.of(self._external[source.name], 1, size, 1, writes=writes, external=True))
        # The importance, the flags and the DRAM that computes as words behind the scratchpad.
        op, behind = task.operator, self._p.scratchpad_words
        if command.get("importance"):
            accesses.append(Access.of(behind, 1, 1, 1, writes=True))
        if op.name in self._flags:
            command |= {"a_left": self._flags[op.name], "a_zero_point": op.threshold}  # pyright: ignore[reportAttributeAccessIssue] - a Softmax
            accesses.append(Access.of(behind + self._flags[op.name], 1, 1, 1, writes=True))
        if task.engine is Engine.PIM:
            accesses.append(Access.of(behind + FLAGS + 1, 1, 1, 1, writes=True))
        when = self._flags[op.when] if op.when else 0
        if when:
            accesses.append(Access.of(behind + when, 1, 1, 1, writes=False))
        step = PlannedStep(engine=task.engine, command=command, accesses=tuple(accesses), label=op.name, unit=task.unit, **traffic)
        step = self._shifted(step, task.source) if task.source else step
        return loads, [replace(step, when=when) for step in (step, *stores)]

    def _shifted(self, step: PlannedStep, source: Operand) -> PlannedStep:
        """A load of what lies further on by a number, if it does."""
        shift = source.shift
        if shift is None:
            return step
        address = self._plan.resident[shift.buffer.name] + shift.word
        fields = {"shifted": 1, "shift": address, "shift_element": shift.element, "shift_stride": shift.words * self._p.slot_bytes}
        read = Access.of(address, 1, 1, 1, writes=False, operand="shift")
        return replace(step, command={**step.command, **fields}, accesses=(*step.accesses, read))

    def _fetched(self, source: Operand, command: Mapping[str, int]) -> dict[str, int]:
        """Where a load finds what it fetches. Rows that follow each other, there and in the scratchpad, are one long row."""
        slot, row_words = self._p.slot_bytes, source.buffer.row_words
        external = self._external[source.buffer.name] + (source.row * row_words + source.word) * slot
        words = source.words * source.rows
        if not command.get("gathers") and source.words == row_words == command["scratchpad_stride"] and words <= MAX_TRANSFER_WORDS:
            return {"external": external, "rows": 1, "words": words}
        return {"external": external, "external_stride": row_words * slot}

    def _staged(self, engine: Engine, operand: Operand, address: int, label: str) -> PlannedStep:
        slot, row_words = self._p.slot_bytes, operand.buffer.row_words
        external = self._external[operand.buffer.name] + (operand.row * row_words + operand.word) * slot
        if operand.word == 0 and operand.stride == row_words and operand.size <= MAX_TRANSFER_WORDS:  # rows follow each other: one long row
            step = self._transfer(engine, external, 0, address, operand.size, 1, operand.size, label)
        else:
            step = self._transfer(engine, external, row_words * slot, address, operand.stride, operand.rows, operand.words, label)
        return self._shifted(step, operand)


def _awaited_first(parts: Sequence[Part]) -> list[Part]:
    """In the order given, but a step whose result another engine waits for before others of its engine that it does not need: so one half
    of a tensor is used while the other is made. Not one that needs another engine's result, for which it may have to wait; and no task
    with transfers, which are in the order of the parts of the staging area."""
    steps = [None if loads or len(work) > 1 else work[0] for loads, work in parts]

    def awaited(i: int) -> bool:
        step, following = steps[i], (work[0] for _, work in parts[i + 1 :][:NEARBY])
        return step is not None and any(other.engine != step.engine and other.reads_what(step) for other in following)

    is_awaited = [awaited(i) for i in range(len(parts))]
    order: list[int] = []

    def passed(step: PlannedStep) -> int:
        """How many of the last tasks it goes before."""
        for count, j in enumerate(reversed(order[-NEARBY:])):
            other = steps[j]
            if other is None or is_awaited[j] or step.conflicts(other):
                return count if other is not None and other.engine == step.engine else 0
        return 0

    for i, step in enumerate(steps):
        order.insert(len(order) - (passed(step) if step is not None and is_awaited[i] else 0), i)
    return [parts[i] for i in order]


def with_waits(planned: list[PlannedStep], parameters: MachineParameters) -> list[Step]:
    """Each step waits, per engine, for the last earlier step that it needs; for what the compute unit's a needs only as it is read."""
    steps: list[Step] = []
    history: dict[Engine, list[tuple[PlannedStep, Worker]]] = {engine: [] for engine in Engine}
    at_start = {worker: dict.fromkeys(Engine, 0) for worker in workers(parameters)}  # of each worker's last step
    last = dict.fromkeys(at_start, 0)  # of each worker, its number among those of its engine, from 1 on
    at_end: dict[Engine, list[dict[Engine, int]]] = {engine: [] for engine in Engine}  # what is complete when a step is

    def needed(step: PlannedStep, worker: Worker, engine: Engine, complete: int, *, late: bool) -> Iterator[int]:
        """The last steps of an engine first, by their numbers from 1 on; of those that need not be complete."""
        for count in range(len(history[engine]), complete, -1):
            earlier, its_worker = history[engine][count - 1]
            if step.needs(earlier, late=late, same_worker=worker == its_worker):
                yield count

    def wait(step: PlannedStep, worker: Worker, waits: dict[Engine, int], *, late: bool) -> dict[Engine, int]:
        waits = dict(waits)
        for engine in Engine:
            count = next(needed(step, worker, engine, waits[engine], late=late), None)
            if count is not None:
                waits[engine] = count
                # what that step waited for is complete too
                waits = {other: max(n, at_end[engine][count - 1][other]) for other, n in waits.items()}
        return waits

    for step, worker in zip(planned, _dealt(planned, parameters), strict=True):
        # Steps of a worker start in order: what the last one waited for is complete.
        starts = wait(step, worker, at_start[worker], late=False)
        reads = wait(step, worker, starts, late=True)
        if step.when:  # if it is skipped, all that it waits for is complete all the same
            starts = reads
        command = dict(step.command)
        if step.engine is Engine.COMPUTE:
            command |= {f"a_{name}": reads[engine] % (1 << WAIT_BITS) for name, engine in zip(WAITS, Engine, strict=True)}
            unfinished = needed(step, worker, Engine.COMPUTE, starts[Engine.COMPUTE], late=True)
            before = last[worker]
            if next(unfinished, None) == before and all(history[Engine.COMPUTE][n - 1][1] == worker for n in unfinished):
                command |= _follows(command, history[Engine.COMPUTE][before - 1][0], parameters)
        at_start[worker] = starts
        at_end[step.engine].append(reads)
        history[step.engine].append((step, worker))
        last[worker] = len(history[step.engine])
        steps.append(Step(step.engine, command, starts, step.when, worker.unit))
    return steps


def _dealt(planned: list[PlannedStep], parameters: MachineParameters) -> Iterator[Worker]:
    """Who does each step: units take those that are for any in turn."""
    own, turn = by_unit(parameters), 0
    for step in planned:
        unit = step.unit
        if unit is None and step.engine is Engine.COMPUTE:
            unit, turn = turn, (turn + 1) % parameters.units
        yield own[step.engine, unit or 0]


def _follows(command: Mapping[str, int], before: PlannedStep, p: MachineParameters) -> dict[str, int]:
    """How the matrix a of a compute command follows the step before it, which writes words of its rows or of some of them."""
    c, b = command, before.command
    words, rest = divmod(c["k"], p.word_bytes)  # of a tap
    in_order = c["taps_x"] == 1 or (rest == 0 and c["x_tap"] == words << place_bits(p.word_bytes))  # one tile along K after the other
    is_matrix = c["m"] == c["taps_y"] == 1 and in_order and not c.get("depthwise", 0)
    # Words of a row before those that are written. A tile of channels must not be smaller than a word.
    ahead = (b["out"] - c["a"]) % c["a_line"]
    in_rows = c["a_line"] == b["out_stride"] and ahead + -(-b["n"] // p.word_bytes) <= c["a_line"]
    elsewhere = before.when or b.get("packed", 0) or b.get("repeated", 0)
    if is_matrix and in_rows and not b["out_wide"] and p.cols >= p.word_bytes and not elsewhere:
        return {"a_follows": 1, "a_ahead": ahead}
    return {}
