"""A plan: the order of the operations, and for each tensor when it lies in the scratchpad, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stay:
    """Of a tensor in the scratchpad, while the steps ``first`` to ``last`` run. fetched: it begins with a fetch from external memory,
    during step ``first``, else it begins as its tensor is made. spilled: it is written to external memory before step ``last`` ends."""

    tensor: str
    first: int
    last: int
    fetched: bool = False
    spilled: bool = False

    def meets(self, other: "Stay") -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a plan decides but for addresses. order: places of the problem's operations, one a step. streams: by step the tensors that pass
    through beside the scratchpad. lasting: tensors that stay from run to run, in one stay for all steps."""

    order: Sequence[int]
    stays: Sequence[Stay]
    streams: Mapping[int, frozenset[str]]
    lasting: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """addresses: of the stays, in their order. moved: to and from external memory in a run. bound: that no plan moves less than. exposed:
    of what is moved, what no operation hides that runs at the same time."""

    schedule: Schedule
    addresses: Sequence[int]
    capacity: int
    moved: int
    bound: float
    exposed: int
