"""Rows of the integer program that hold in whatever order the operations run: they make its relaxation tighter.

Between two operations that touch a tensor run, in every order, those that need the one and that the other needs. While such a one, o,
runs, the tensor is in the scratchpad, X'[a, o], or in external memory. F'[a, r]: it is fetched after what read it last, and before r does,
so the sum of F' is at most the sum of F. Where X' is 0 and a reader always runs after o, one of the next readers has its F', or reads from
external memory: r is no such reader if it runs before o, or another one always runs between o and r.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping

from .blocks import Blocks
from .highs import Program


class EveryOrder:
    def __init__(self, program: Program, blocks: Blocks) -> None:
        self._program, self._problem, self._before, self._after = program, blocks.problem, blocks.before, blocks.after
        self._here, self._inside = defaultdict[int, dict[str, int]](dict), defaultdict[int, float](float)

    def add(
        self,
        name: str,
        fetches: Mapping[int, float],
        beside: Mapping[int, int],
        spilled: int | None,
        written: int | None,
        lasting: int | None,
    ) -> None:
        """Rows of a tensor. fetches: the terms that count its fetches; beside: by operation, whether it reads it from external memory;
        spilled, written: whether it comes there from the scratchpad, or those that make it write it there; lasting: whether it stays from
        run to run."""
        program, readers, makers = self._program, self._problem.readers[name], self._problem.makers[name]
        fetched = {r: program.variable(integer=False) for r in readers if r not in makers}
        program.row({**fetches, **dict.fromkeys(fetched.values(), -1)}, low=0)
        memory = {variable: 1.0 for variable in (spilled, written) if variable is not None}
        for variable in fetched.values() if memory else ():
            program.row({**memory, variable: -1}, low=0)
        for o in self._alive(name):
            here = self._here[o][name] = program.variable()
            if o in makers or o in readers:
                instead = written if o in makers else beside.get(o)
                program.row({here: 1, **({} if instead is None else {instead: 1})}, low=1)
            if self._after[o].intersection(readers):
                following = self._following(readers, o)
                terms = {variable: 1.0 for r in following for variable in (fetched.get(r), beside.get(r), lasting) if variable is not None}
                program.row({here: 1, **terms}, low=1)

    def add_inside(self, operations: Collection[int], size: float) -> None:
        """A tensor that is in the scratchpad while just these operations run."""
        for o in operations:
            self._inside[o] += size

    def limit(self, capacity: float, size: Callable[[str], float]) -> None:
        for o, here in self._here.items():
            self._program.row({variable: size(name) for name, variable in here.items()}, high=capacity - self._inside[o])

    def _alive(self, name: str) -> Iterator[int]:
        uses = {*self._problem.makers[name], *self._problem.readers[name]}
        return (o for o in self._before if o in uses or (uses & self._before[o] and uses & self._after[o]))

    def _following(self, readers: list[int], o: int) -> Iterator[int]:
        for r in readers:
            between = any(other in self._before[r] and other in self._after[o] for other in readers)
            if r != o and r not in self._before[o] and not between:
                yield r
