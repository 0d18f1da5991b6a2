"""Replays a plan step by step, knowing nothing of how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass

from .problem import PlanningError, Problem
from .schedule import Schedule, Stay


@dataclass(frozen=True)
class Traffic:
    """Moved in a run, to and from external memory. exposed: of that, what no operation hides, as a fetch during the step before the first
    one that reads it, or a spill during the step after the last one that writes it; what passes through beside the scratchpad is hidden."""

    moved: int
    exposed: int


def check(problem: Problem, schedule: Schedule, addresses: Sequence[int], capacity: int) -> Traffic:
    """Raises PlanningError at the first step at which the plan is wrong: an operation runs before one that it needs, a tensor is not there
    or not complete, or was never written where it is fetched from, or two lie in one place."""
    if sorted(schedule.order) != list(range(len(problem.operations))):
        raise PlanningError("the plan does not run each operation once")
    replay = _Replay(problem, schedule, addresses, capacity)
    for step in range(len(problem.operations)):
        replay.step(step)
    return replay.end()


class _Replay:
    def __init__(self, problem: Problem, schedule: Schedule, addresses: Sequence[int], capacity: int) -> None:
        self._problem, self._schedule, self._addresses, self._capacity = problem, schedule, addresses, capacity
        self._memory = {tensor.name for tensor in problem.tensors.values() if tensor.stored}  # what has a complete copy there
        self._written = dict.fromkeys(problem.tensors, 0)  # how many of its writers ran
        self._here: dict[int, Stay] = {}
        self._moved = self._exposed = 0

    def step(self, step: int) -> None:
        operation = self._problem.operations[self._schedule.order[step]]
        for i, stay in enumerate(self._schedule.stays):
            if stay.first == step:
                self._begin(i, stay, step)
        there = {stay.tensor for stay in self._here.values()}
        streams = self._schedule.streams.get(step, frozenset())
        for name in operation.touches:
            if name in streams:
                self._moved += operation.streams[name]
            elif name not in there:
                raise PlanningError(f"step {step}, {operation.name}: {name} is not in the scratchpad")
        for name in operation.reads:
            earlier = [i for i in self._problem.makers[name] if i < self._schedule.order[step]]
            if self._written[name] < len(earlier) and name not in operation.writes:
                raise PlanningError(f"step {step}, {operation.name}: {name} is not complete")
            if name in streams and name not in self._memory:
                raise PlanningError(f"step {step}, {operation.name}: {name} is not in external memory")
        for name in operation.writes:
            self._written[name] += 1
            if name in streams and self._written[name] == len(self._problem.makers[name]):
                self._memory.add(name)
        for i, stay in [*self._here.items()]:
            if stay.last == step:
                self._leave(i, stay, step)

    def end(self) -> Traffic:
        for tensor in self._problem.tensors.values():
            if tensor.wanted and tensor.name not in self._memory:
                raise PlanningError(f"{tensor.name} is wanted, but not in external memory at the end")
        return Traffic(self._moved, self._exposed)

    def _begin(self, number: int, stay: Stay, step: int) -> None:
        tensor, operation = self._problem.tensors[stay.tensor], self._problem.operations[self._schedule.order[step]]
        low, high = self._addresses[number], self._addresses[number] + tensor.size
        if low < 0 or high > self._capacity:
            raise PlanningError(f"step {step}: {stay.tensor} lies outside of the scratchpad")
        for i, other in self._here.items():
            start = self._addresses[i]
            if other.tensor == stay.tensor or (low < start + self._problem.tensors[other.tensor].size and start < high):
                raise PlanningError(f"step {step}: {stay.tensor} lies where {other.tensor} is")
        if stay.fetched:
            if stay.tensor not in self._memory:
                raise PlanningError(f"step {step}: {stay.tensor} is fetched, but not in external memory")
            self._moved += tensor.size
            self._exposed += tensor.size * (stay.tensor in operation.touches)
        elif stay.tensor not in self._schedule.lasting and (stay.tensor not in operation.writes or self._written[stay.tensor]):
            raise PlanningError(f"step {step}: {stay.tensor} is neither made nor fetched")
        self._here[number] = stay

    def _leave(self, number: int, stay: Stay, step: int) -> None:
        tensor, makers = self._problem.tensors[stay.tensor], self._problem.makers[stay.tensor]
        if self._written[stay.tensor] < len(makers):
            raise PlanningError(f"step {step}: {stay.tensor} leaves before it is complete")
        if stay.spilled:
            operation = self._problem.operations[self._schedule.order[step]]
            self._memory.add(stay.tensor)
            self._moved += tensor.size
            self._exposed += tensor.size * (stay.tensor in operation.writes)
        del self._here[number]
