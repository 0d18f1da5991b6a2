"""The order that needs the smallest scratchpad if nothing is spilled: by a search of sets of blocks that ran.

What lies in the scratchpad depends on that set alone, not on its order. A block that fits and leaves no more there than was there before
runs at once: in any order that runs it later, it could run first, for all that runs in between has then no less room. Among the others the
search branches, and no set is searched twice. It begins with a limit that no order is below; where no order keeps it, the next limit is the
smallest that was exceeded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .blocks import Block, Blocks
from .problem import Problem
from .schedule import Schedule, Stay


@dataclass
class LowestPeak:
    """limit: that no order is below, as far as is known."""

    blocks: Blocks
    limit: int
    seen: set[frozenset[Block]] = field(default_factory=set)
    exceeded: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, blocks: Blocks) -> "LowestPeak":
        return cls(blocks, blocks.problem.largest)

    def order(self, most: int) -> list[int] | None:
        """Of the operations, with the lowest peak; None where that was not found in so many sets."""
        left = most
        while True:
            self.seen, self.exceeded = set(), []
            found = self._within(left)
            left -= len(self.seen)
            if found is not None or left <= 0 or not self.exceeded:
                return None if found is None else [o for block in found for o in block]
            self.limit = min(self.exceeded)

    def _within(self, most: int) -> list[Block] | None:
        """An order that keeps the limit, by depth-first search."""
        state = _State(self.blocks.problem)
        order, choices = list[Block](), [iter([*self._next(state, frozenset())])]
        while len(self.seen) < most:
            block = next(choices[-1], None)
            if block is None:
                choices.pop()
                if not choices:
                    return None
                state.undo(order.pop())
                continue
            state.run(block)
            order.append(block)
            if len(order) == len(self.blocks.blocks):
                return order
            done = frozenset(order)
            following = [] if done in self.seen else [*self._next(state, done)]
            self.seen.add(done)
            choices.append(iter(following))
        return None

    def _next(self, state: "_State", done: frozenset[Block]) -> Iterator[Block]:
        """Blocks that may be next, those that leave least first."""
        ran = {o for block in done for o in block}
        fit = list[tuple[int, Block]]()
        for block in self.blocks.blocks:
            if block not in done and self.blocks.before[block[0]] <= ran:
                peak, grown = state.trial(block)
                if peak > self.limit:
                    self.exceeded.append(peak)
                elif grown <= 0:
                    yield block
                    return
                else:
                    fit.append((grown, block))
        yield from (block for _, block in sorted(fit))


class _State:
    """What lies in the scratchpad: a tensor from what first touches it to what reads it last."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._left = {name: len(readers) for name, readers in problem.readers.items()}
        self._touched = dict.fromkeys(problem.tensors, 0)
        self._size = 0

    def trial(self, block: Block) -> tuple[int, int]:
        """What lies there at the most while it runs, and how much more after it than before."""
        before = self._size
        peak = self.run(block)
        grown = self._size - before
        self.undo(block)
        return peak, grown

    def run(self, block: Block) -> int:
        """Its peak."""
        peak = 0
        for o in block:
            operation = self._problem.operations[o]
            new = (name for name in operation.touches if not self._there(name))
            peak = max(peak, self._size + self._problem.size(new))
            self._count(o, 1)
        return peak

    def undo(self, block: Block) -> None:
        for o in reversed(block):
            self._count(o, -1)

    def _count(self, o: int, change: int) -> None:
        operation = self._problem.operations[o]
        before = self._problem.size(filter(self._there, operation.touches))
        for name in operation.touches:
            self._touched[name] += change
        for name in operation.reads:
            self._left[name] -= change
        self._size += self._problem.size(filter(self._there, operation.touches)) - before

    def _there(self, name: str) -> bool:
        parts = self._problem.makers[name]
        return self._touched[name] > 0 and (self._left[name] > 0 or self._touched[name] < len(parts))


def peak(problem: Problem, schedule: Schedule) -> int:
    """What lies in the scratchpad at the most."""
    steps = range(len(schedule.order))
    return max(problem.size(stay.tensor for stay in schedule.stays if stay.first <= step <= stay.last) for step in steps)


def unspilled(problem: Problem, order: Sequence[int]) -> Schedule:
    """In that order: each tensor stays from what first touches it to what does last."""
    steps = {o: step for step, o in enumerate(order)}
    stays = list[Stay]()
    for name, tensor in problem.tensors.items():
        used = [steps[o] for o in {*problem.makers[name], *problem.readers[name]}]
        stays.append(Stay(tensor=name, first=min(used), last=max(used), fetched=tensor.stored, spilled=tensor.wanted))
    return Schedule(order=order, stays=stays, streams={})
