"""What is planned: operations on tensors, in a scratchpad that does not hold all of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter


class PlanningError(ValueError):
    """No plan can be made: the message names the operation or the tensor."""


@dataclass(frozen=True)
class Tensor:
    """size: in the scratchpad, in whatever unit its capacity has, such as bytes. stored: lies in external memory before the run, as inputs
    and weights do. wanted: must lie there after it, as outputs do. lasting: may stay in the scratchpad from run to run, as weights may.
    fetchable: may come to lie there in between."""

    name: str
    size: int
    stored: bool = False
    wanted: bool = False
    lasting: bool = False
    fetchable: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise PlanningError(f"{self.name}: size must be at least 1, not {self.size!r}")
        if (self.stored and self.wanted) or (self.lasting and not self.stored):
            raise PlanningError(f"{self.name}: what is stored can't be wanted, and what is lasting must be stored")


@dataclass(frozen=True)
class Operation:
    """reads, writes: names of tensors, which lie in the scratchpad while it runs. streams: of these the ones that can pass through beside
    it instead, in tiles, and how much is moved then."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    streams: Mapping[str, int] = field(default_factory=dict, hash=False)

    @cached_property
    def touches(self) -> frozenset[str]:
        return frozenset((*self.reads, *self.writes))


@dataclass(frozen=True)
class Problem:
    """Operations in an order in which they can run, with the tensors by name. A tensor can be written part by part, by some operations;
    then they are done in this order.

    Raises PlanningError where a tensor is unknown, or not made when it is read.
    """

    tensors: Mapping[str, Tensor]
    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        if not self.operations:
            raise PlanningError("there is no operation")
        written, read = set[str](), set[str]()
        for operation in self.operations:
            for name in operation.reads:
                if name not in written and not self._known(operation, name).stored:
                    raise PlanningError(f"{operation.name} reads {name}, which nothing made before")
            for name in operation.writes:
                if self._known(operation, name).stored:
                    raise PlanningError(f"{operation.name} writes {name}, which is stored already")
            written |= set(operation.writes)
            read |= set(operation.reads)
        unknown = self.tensors.keys() - read - written
        if unknown:
            raise PlanningError(f"{min(unknown)} is neither made nor read")

    def require_connected(self) -> None:
        """Raises PlanningError where what an operation makes is neither read nor wanted."""
        for operation in self.operations:
            for name in operation.writes:
                if not self.readers[name] and not self.tensors[name].wanted:
                    raise PlanningError(f"{operation.name} makes {name}, which nothing reads")

    def _known(self, operation: Operation, name: str) -> Tensor:
        if name not in self.tensors:
            raise PlanningError(f"{operation.name}: there is no tensor {name}")
        return self.tensors[name]

    @cached_property
    def makers(self) -> dict[str, list[int]]:
        """By tensor, the places of the operations that write it: none where it is stored."""
        return self._places("writes")

    @cached_property
    def readers(self) -> dict[str, list[int]]:
        """By tensor, the places of the operations that read it."""
        return self._places("reads")

    def _places(self, of: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in self.tensors}
        for i, operation in enumerate(self.operations):
            for name in getattr(operation, of):
                found[name].append(i)
        return found

    @cached_property
    def needs(self) -> list[set[int]]:
        """For each operation those that write, before it, what it reads or goes on writing."""
        return [{j for name in o.touches for j in self.makers[name] if j < i} for i, o in enumerate(self.operations)]

    def least(self, operation: Operation) -> int:
        """What it takes of the scratchpad, with all beside it that can pass through there."""
        return self.size(operation.touches - operation.streams.keys())

    @cached_property
    def largest(self) -> int:
        """What the operation that takes most takes, with all its tensors in the scratchpad."""
        return max(self.size(operation.touches) for operation in self.operations)

    @cached_property
    def compulsory(self) -> int:
        """What is moved in every plan: all that is stored, and wanted; but what is lasting can stay."""
        return sum(tensor.size for tensor in self.tensors.values() if tensor.wanted or (tensor.stored and not tensor.lasting))

    def size(self, names: Iterable[str]) -> int:
        return sum(self.tensors[name].size for name in names)


def in_order(tensors: Mapping[str, Tensor], operations: Iterable[Operation]) -> Problem:
    """The problem of operations that come in any order. Raises PlanningError as `Problem`, and where operations wait for each other."""
    named = {operation.name: operation for operation in operations}
    maker = {name: operation.name for operation in named.values() for name in operation.writes}
    sorter = TopologicalSorter({o.name: [maker[name] for name in o.reads if name in maker] for o in named.values()})
    try:
        order = tuple(sorter.static_order())
    except CycleError as e:
        raise PlanningError(f"operations wait for each other: {', '.join(e.args[1])}") from None
    return Problem(tensors, tuple(named[name] for name in order))
