"""Orders to begin with: one block after the other, the best of those that can be next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .blocks import Block, Blocks
from .problem import Problem


def orders(blocks: Blocks) -> Iterator[list[Block]]:
    """As the operations are given; each time what leaves the least alive; and what can be next only since what ran last."""
    yield _listed(blocks, lambda state, block: (block[0],))
    yield _listed(blocks, lambda state, block: (state.after(block), block[0]))
    yield _listed(blocks, lambda state, block: (-state.ready_since[block], state.after(block), block[0]))


@dataclass
class _State:
    """left: by tensor how many operations still read it. alive: size of what lies in the scratchpad. ready_since: by block, at which place
    in the order it could run first."""

    problem: Problem
    left: dict[str, int]
    ready_since: dict[Block, int] = field(default_factory=dict)

    def after(self, block: Block) -> int:
        """By how much more is alive after the block than before it."""
        operations = [self.problem.operations[o] for o in block]
        made = {name for operation in operations for name in operation.writes}
        read = {name: sum(name in operation.reads for operation in operations) for operation in operations for name in operation.reads}
        grown = self.problem.size(name for name in made if self.left[name] > read.get(name, 0))
        return grown - self.problem.size(name for name, count in read.items() if name not in made and self.left[name] == count)

    def run(self, block: Block) -> None:
        for o in block:
            for name in self.problem.operations[o].reads:
                self.left[name] -= 1


def _listed(blocks: Blocks, key: Callable[[_State, Block], tuple[int, ...]]) -> list[Block]:
    problem = blocks.problem
    state = _State(problem, {name: len(readers) for name, readers in problem.readers.items()})
    done, found = set[int](), list[Block]()
    waiting = list(blocks.blocks)
    while waiting:
        ready = [block for block in waiting if blocks.before[block[0]] <= done]
        for block in ready:
            state.ready_since.setdefault(block, len(found))
        block = min(ready, key=lambda block: key(state, block))
        state.run(block)
        found.append(block)
        waiting.remove(block)
        done |= set(block)
    return found
