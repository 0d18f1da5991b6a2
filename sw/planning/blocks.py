"""Operations that run one right after the other in some best schedule, so that an order of blocks is all there is to choose.

Say V reads nothing but a, and makes nothing that others read but b. Any schedule can be changed, without moving more, such that

- V runs right before c, if c alone reads b, size[a] <= size[b], and V takes no more than b and what c writes: until then a is where b would
  have been, or in external memory in its stead, and V runs in the room that c is about to fill;
- V runs right after m, which makes a, if V alone reads a, size[b] <= size[a], and V takes no more than a and those operands of m that m
  alone reads: from then on b is where a would have been, or in external memory in its stead, and V runs in the room that m no longer needs.

So V and c, or m and V, become one, and so on; where more go right before c, one after the other. Gaps between tensors are left out of this,
as they are of `integer.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter

from typing_extensions import Self

from .problem import Problem

Block = tuple[int, ...]  # places of operations


@dataclass(frozen=True)
class Blocks:
    """before, after: by operation those that run before it, or after it, in every order of the blocks."""

    problem: Problem
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, problem: Problem) -> Self:
        found: list[Block] = [(o,) for o in range(len(problem.operations))]
        merger = _Merger(problem)
        while merged := merger.merged(found):
            found = merged
        return cls(problem, tuple(found))

    @cached_property
    def before(self) -> dict[int, set[int]]:
        whose = {o: block for block in self.blocks for o in block}
        needs = {block: {whose[i] for o in block for i in self.problem.needs[o]} - {block} for block in self.blocks}
        earlier = dict[Block, set[int]]()
        for block in TopologicalSorter(needs).static_order():
            earlier[block] = set().union(*(earlier[other] | set(other) for other in needs[block]))
        return {o: earlier[block] | set(block[:i]) for block in self.blocks for i, o in enumerate(block)}

    @cached_property
    def after(self) -> dict[int, set[int]]:
        found = {o: set[int]() for o in self.before}
        for o, earlier in self.before.items():
            for i in earlier:
                found[i].add(o)
        return found

    @cached_property
    def windows(self) -> dict[Block, range]:
        """The steps at which each can begin."""
        count = len(self.problem.operations)
        return {b: range(len(self.before[b[0]]), count - len(self.after[b[-1]]) - len(b) + 1) for b in self.blocks}


@dataclass(frozen=True)
class _Merger:
    """leads: operations of a block before its first own one, that were put right before that."""

    problem: Problem
    leads: dict[Block, int] = field(default_factory=dict)

    def merged(self, found: Sequence[Block]) -> list[Block] | None:
        """With one block less, if there can be."""
        whose = {o: block for block in found for o in block}
        for block in found:
            if ends := self._ends(block):
                joined, gone = self._before_reader(block, *ends, whose) or self._after_maker(block, *ends, whose) or (None, ())
                if joined:
                    return [joined, *(other for other in found if other not in gone)]
        return None

    def _before_reader(self, block: Block, a: str, b: str, whose: Mapping[int, Block]) -> tuple[Block, tuple[Block, Block]] | None:
        tensors, readers = self.problem.tensors, self.problem.readers[b]
        if len(readers) > 1 or tensors[b].wanted or tensors[a].size > tensors[b].size:
            return None
        following, lead = whose[readers[0]], self.leads.get(whose[readers[0]], 0)
        room = tensors[b].size + self.problem.size(self.problem.operations[readers[0]].writes)
        if following[lead] != readers[0] or self._takes(block) > room:
            return None
        self.leads[block + following] = len(block) + lead
        return block + following, (block, following)

    def _after_maker(self, block: Block, a: str, b: str, whose: Mapping[int, Block]) -> tuple[Block, tuple[Block, Block]] | None:
        tensors, makers = self.problem.tensors, self.problem.makers[a]
        if len(makers) != 1 or self.problem.readers[a] != [block[0]] or tensors[a].wanted or tensors[b].size > tensors[a].size:
            return None
        before = whose[makers[0]]
        if before[-1] != makers[0] or self._takes(block) > tensors[a].size + self._freed(makers[0]):
            return None
        self.leads[before + block] = self.leads.get(before, 0)
        return before + block, (before, block)

    def _ends(self, block: Block) -> tuple[str, str] | None:
        """The one tensor that it reads, and the one that it makes for others; none of what streams."""
        operations = [self.problem.operations[o] for o in block]
        if any(operation.streams for operation in operations):
            return None
        made = {name for operation in operations for name in operation.writes}
        read = {name for operation in operations for name in operation.reads} - made
        left = {name for name in made if self.problem.tensors[name].wanted or set(self.problem.readers[name]) - set(block)}
        whole = all(set(self.problem.makers[name]) <= set(block) for name in made)
        return (*read, *left) if whole and len(read) == len(left) == 1 else None  # pyright: ignore[reportReturnType] - one of each

    def _takes(self, block: Block) -> int:
        """At the most, with what it reads there until the operation that reads it last."""
        touched = [self.problem.operations[o].touches for o in block]
        most = 0
        for i in range(len(block)):
            earlier, later = frozenset().union(*touched[: i + 1]), frozenset().union(*touched[i:])
            most = max(most, self.problem.size(earlier & later))
        return most

    def _freed(self, o: int) -> int:
        reads = self.problem.operations[o].reads
        return self.problem.size(name for name in reads if self.problem.readers[name] == [o] and not self.problem.tensors[name].wanted)
