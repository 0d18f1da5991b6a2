"""Which orders of the operations a program chooses from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import Self

from .blocks import Block, Blocks


@dataclass(frozen=True)
class Choice:
    """windows: by block the steps at which it can begin. blocks: where that is every order of the blocks."""

    windows: Mapping[Block, range]
    blocks: Blocks | None = None

    @classmethod
    def none(cls, order: Sequence[int]) -> Self:
        """Of one order of the operations."""
        return cls({(o,): range(t, t + 1) for t, o in enumerate(order)})

    @classmethod
    def all(cls, blocks: Blocks) -> Self:
        return cls(blocks.windows, blocks)

    @classmethod
    def part(cls, blocks: Blocks, order: Sequence[Block], first: int, last: int) -> Self:
        """Of an order, whose blocks first to last - 1 can change places."""
        free, begin, windows = order[first:last], sum(map(len, order[:first])), dict[Block, range]()
        inside = {o for block in free for o in block}
        end, step = begin + len(inside), 0
        for block in order:
            windows[block] = range(step, step + 1)
            step += len(block)
        for block in free:
            before, after = blocks.before[block[0]] & inside, blocks.after[block[-1]] & inside
            windows[block] = range(begin + len(before), end - len(after) - len(block) + 1)
        return cls(windows)
