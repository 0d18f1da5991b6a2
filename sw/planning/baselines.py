"""Plans without an integer program: operations in their order, each tensor at the first gap that holds it, and where there is none, others
leave until there is one. What they are compared with."""

from dataclasses import dataclass, field

from ..text_enum import TextEnum
from .problem import Problem
from .schedule import Schedule, Stay


class Leaves(TextEnum):
    """Which tensor leaves first, of those that the operation does not touch."""

    LARGEST = "greedy"
    LOWEST = "first fit"
    LAST_USED = "Belady"


def baseline(problem: Problem, capacity: int, leaves: Leaves, *, gaps: bool = True) -> tuple[Schedule, list[int]]:
    """A schedule and the addresses of its stays, which mean nothing where ``gaps`` between tensors are as good as none. The capacity must
    hold the largest operation. What is streamed or lasting is like all else."""
    run = _Run(problem, capacity, leaves, gaps)
    for step in range(len(problem.operations)):
        run.step(step)
    run.leave(list(run.here), len(problem.operations) - 1)
    order = range(len(problem.operations))
    return Schedule(order=order, stays=run.stays, streams={}), run.addresses


@dataclass
class _Run:
    """here: address and first step of each tensor in the scratchpad. fetched: those of them that came from external memory, where a copy of
    each tensor in ``memory`` lies."""

    problem: Problem
    capacity: int
    leaves: Leaves
    gaps: bool
    here: dict[str, tuple[int, int]] = field(default_factory=dict)
    fetched: set[str] = field(default_factory=set)
    memory: set[str] = field(default_factory=set)
    stays: list[Stay] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory |= {tensor.name for tensor in self.problem.tensors.values() if tensor.stored}

    def step(self, step: int) -> None:
        operation = self.problem.operations[step]
        self.leave([name for name in self.here if name not in operation.touches and self._next_use(name, step) is None], step - 1)
        for name in (*operation.reads, *operation.writes):
            if name not in self.here and not self._come(name, operation.touches, step):
                # Those that stay lie such that nothing fits between them.
                self.leave([name for name in self.here if self.here[name][1] < step], step - 1)
                self.here.clear()
                for packed in dict.fromkeys((*operation.reads, *operation.writes)):
                    self._come(packed, operation.touches, step)

    def leave(self, names: list[str], last: int) -> None:
        for name in names:
            address, first = self.here.pop(name)
            needed = self.problem.tensors[name].wanted or self._next_use(name, last + 1) is not None
            spilled = needed and name not in self.memory
            self.memory |= {name} if spilled else set()
            self.stays.append(Stay(tensor=name, first=first, last=last, fetched=name in self.fetched, spilled=spilled))
            self.addresses.append(address)

    def _come(self, name: str, touched: frozenset[str], step: int) -> bool:
        """Whether there is room, or others leave it."""
        while (address := self._gap(self.problem.tensors[name].size)) is None:
            others = [other for other in self.here if other not in touched]
            if not others:
                return False
            self.leave([min(others, key=lambda other: self._key(other, step))], step - 1)
        self.here[name] = address, step
        made = self.problem.makers[name]
        (self.fetched.discard if made and made[0] == step else self.fetched.add)(name)
        return True

    def _key(self, name: str, step: int) -> int:
        match self.leaves:
            case Leaves.LARGEST:
                return -self.problem.tensors[name].size
            case Leaves.LOWEST:
                return self.here[name][0]
            case Leaves.LAST_USED:
                return -(self._next_use(name, step) or 0)

    def _next_use(self, name: str, step: int) -> int | None:
        uses = (*self.problem.makers[name], *self.problem.readers[name])
        return min((use for use in uses if use >= step), default=None)

    def _gap(self, size: int) -> int | None:
        if not self.gaps:
            return 0 if self.problem.size(self.here) + size <= self.capacity else None
        start, taken = 0, sorted((at, at + self.problem.tensors[name].size) for name, (at, _) in self.here.items())
        for low, high in [*taken, (self.capacity, self.capacity)]:
            if low - start >= size:
                return start
            start = max(start, high)
        return None
