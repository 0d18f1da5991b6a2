"""Order and stays in one integer program, after COSMA (arXiv 2311.18246); addresses follow (`addresses.py`).

For each operation o and step t there is C[o, t]: it runs then; as a variable whether it ran by then, so that C is a difference of two. For
each tensor a and step t there are X[a, t]: it lies in the scratchpad (COSMA's "created" and "kept"), and F[a, t]: it is fetched during t.
S[a]: it is spilled, whenever. With m the operation that writes a first:

    sum of C[o, t] over t = 1,  sum of C[o, t] over o = 1
    C of o up to t <= C up to t - 1 of each operation that o needs
    X[a, t] >= sum of C[o, t] over all o that touch a            since one operation runs at a step
    X[a, t] <= sum of C[m, s] over s <= t
    F[a, t] >= X[a, t] - X[a, t - 1] - C[m, t]
    S[a] >= F[a, t]
    sum of size[a] * X[a, t] over a <= capacity

The cost is size[a] for each fetch, and for S[a], which is 1 for what is wanted. A tensor that is written part by part is there from its
first writer's step to its last one's. To the paper's tensors come those that may pass through beside the scratchpad while an operation
reads them, D[o, a], or all that write them run, W[a], at a price; and those that may stay from run to run, L[a].
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import gcd

from numpy.typing import NDArray

from .blocks import Block
from .choice import Choice
from .every_order import EveryOrder
from .highs import Program
from .problem import Problem, Tensor
from .schedule import Schedule, Stay


@dataclass(frozen=True)
class Found:
    """schedule: None where there is none, or none was found in time. bound: what any schedule costs at the least."""

    schedule: Schedule | None
    bound: float


def fewest_moves(problem: Problem, capacity: int, seconds: float, choice: Choice, *, start: Schedule | None = None) -> Found:
    """The schedule that moves least. start: one to begin with. bound: of what is moved."""
    model = _Model(problem, choice)
    model.limit(capacity)
    return model.solve(seconds, start)


def fewest_exposed(problem: Problem, capacity: int, seconds: float, schedule: Schedule) -> Found:
    """The schedule of the same order that moves no more, and of that the least while nothing else runs: a fetch can run during the step
    before the one that reads it, a spill during the step after the one that made it, where there is room for the tensor then."""
    model = _Model(problem, Choice.none(schedule.order), margin=1)
    model.limit(capacity)
    model.hide(moved(problem, schedule))
    return model.solve(seconds, schedule)


def moved(problem: Problem, schedule: Schedule) -> int:
    """To and from external memory in a run."""
    streamed = sum(problem.operations[schedule.order[t]].streams[name] for t, names in schedule.streams.items() for name in names)
    return streamed + sum(problem.tensors[stay.tensor].size * (stay.fetched + stay.spilled) for stay in schedule.stays)


class _Model:
    """margin: steps before those that touch a tensor, and after, at which it may be there."""

    def __init__(self, problem: Problem, choice: Choice, margin: int = 0) -> None:
        self._problem, self._program, self._steps, self._margin = problem, Program(), len(problem.operations), margin
        prices = (price for operation in problem.operations for price in operation.streams.values())
        self._unit = gcd(*(tensor.size for tensor in problem.tensors.values()), *prices)
        begins = choice.windows
        begun = {(block, t): self._program.variable(low=int(t == steps[-1])) for block, steps in begins.items() for t in steps}
        self._ran = {(o, t + i): variable for (block, t), variable in begun.items() for i, o in enumerate(block)}
        self._windows = {o: range(steps.start + i, steps.stop + i) for block, steps in begins.items() for i, o in enumerate(block)}
        self._at = [[o for o, steps in self._windows.items() if t in steps] for t in range(self._steps)]
        self._here, self._inside = dict[tuple[str, int], int](), dict[tuple[str, int], dict[int, float]]()
        self._fetched, self._through = dict[tuple[str, int], int](), dict[tuple[str, int], int]()
        self._spilled, self._written, self._lasting = dict[str, int](), dict[str, int](), dict[str, int]()
        self._order()
        self._every_order = EveryOrder(self._program, choice.blocks) if choice.blocks else None
        for tensor in problem.tensors.values():
            if self._is_inside(tensor, [*begins]):
                self._stays_inside(tensor)
                continue
            self._decide(tensor)
            self._stays(tensor)
            self._moves(tensor)
            if self._every_order:
                self._strengthen(tensor.name, self._every_order)

    def limit(self, capacity: int) -> None:
        for loads in self._loads():
            self._program.row(loads, high=capacity // self._unit)
        if self._every_order:
            self._every_order.limit(capacity // self._unit, self._size)

    def hide(self, most: int) -> None:
        """Instead of what is moved, which may be ``most``, minimize what is exposed. The order must be given."""
        self._program.as_row(high=most / self._unit + 1 / 2)
        for (name, t), fetched in self._fetched.items():
            if name in self._problem.operations[self._at[t][0]].touches:
                self._program.charge(fetched, self._size(name))
        for name, spilled in self._spilled.items():
            exposed = self._program.variable(self._size(name), integer=False)
            after = self._here.get((name, self._windows[self._problem.makers[name][-1]].stop))
            self._program.row({spilled: 1, exposed: -1, **({after: -1} if after is not None else {})}, high=0)

    def solve(self, seconds: float, start: Schedule | None) -> Found:
        solution = self._program.solve(seconds, None if start is None else self._values(start))
        return Found(None if solution.ones is None else self._schedule(solution.ones), solution.bound * self._unit)

    def _size(self, name: str) -> int:
        return self._problem.tensors[name].size // self._unit

    def _order(self) -> None:
        row = self._program.row
        for o, steps in self._windows.items():
            for t in steps[1:]:
                row(self._runs(o, t), low=0)
        for t, operations in enumerate(self._at):
            row(_sum(*(self._runs(o, t) for o in operations)), low=1, high=1)
        for o, needed in enumerate(self._problem.needs):
            for i in needed:
                for t in range(self._windows[o].start, self._windows[i].stop):
                    row(_sum(self._until(o, t), _less(self._until(i, t - 1))), high=0)

    def _is_inside(self, tensor: Tensor, blocks: Sequence[Block]) -> bool:
        """Whether operations that follow each other in any case are all that touch it, so that it leaves after the last one."""
        using = {*self._problem.makers[tensor.name], *self._problem.readers[tensor.name]}
        block = next(block for block in blocks if using & set(block))
        places = [i for i, o in enumerate(block) if o in using]
        streams = any(tensor.name in self._problem.operations[o].streams for o in using)
        free = tensor.wanted or tensor.lasting or not tensor.fetchable or streams or self._margin
        return not free and len(places) == len(using) == places[-1] - places[0] + 1

    def _stays_inside(self, tensor: Tensor) -> None:
        using = {*self._problem.makers[tensor.name], *self._problem.readers[tensor.name]}
        for o in using:
            for t in self._windows[o]:
                self._inside[tensor.name, t] = _sum(self._inside.get((tensor.name, t), {}), self._runs(o, t))
        if tensor.stored:
            self._program.variable(self._size(tensor.name), low=1)
        if self._every_order:
            self._every_order.add_inside(using, self._size(tensor.name))

    def _decide(self, tensor: Tensor) -> None:
        """Variables of a tensor but for its stays."""
        problem, name, variable = self._problem, tensor.name, self._program.variable
        if tensor.lasting:
            self._lasting[name] = variable()
        if not tensor.stored:
            self._spilled[name] = variable(self._size(name))
            prices = [problem.operations[o].streams.get(name) for o in problem.makers[name]]
            if None not in prices:
                self._written[name] = variable(sum(price // self._unit for price in prices if price is not None))
        for o in problem.readers[name]:
            if name in problem.operations[o].streams:
                self._through[name, o] = variable(problem.operations[o].streams[name] // self._unit)

    def _stays(self, tensor: Tensor) -> None:
        """Where it must be."""
        problem, name, row = self._problem, tensor.name, self._program.row
        makers, using = problem.makers[name], {*problem.makers[name], *problem.readers[name]}
        first, last = min(self._windows[o].start for o in using), max(self._windows[o].stop for o in using) - 1
        steps = range(max(0, first - self._margin * tensor.stored), min(self._steps, last + 1 + self._margin))
        self._here |= {(name, t): self._program.variable() for t in steps}
        written, in_parts = self._one(self._written, name), len(makers) > 1
        for t in steps:
            here = {self._here[name, t]: 1.0}
            runs = {o: self._runs(o, t) for o in using if t in self._windows[o]}
            if any((name, o) in self._through for o in using) or written:
                for o, run in runs.items():
                    beside = written if o in makers else self._one(self._through, (name, o))
                    row(_sum(here, _less(run), beside), low=0)
                    if o in makers and written:  # it is not both written to memory and made here
                        row(_sum(here, run, written), high=2)
            else:
                row(_sum(here, *map(_less, runs.values())), low=0)
            if makers:
                row(_sum(here, _less(self._until(makers[0], t))), high=0)
            if in_parts:
                row(_sum(here, _less(self._until(makers[0], t)), self._until(makers[-1], t - 1), written), low=0)
            if name in self._lasting:
                row(here | {self._lasting[name]: -1}, low=0)

    def _moves(self, tensor: Tensor) -> None:
        """What that costs."""
        name, row, makers = tensor.name, self._program.row, self._problem.makers[tensor.name]
        in_memory = self._one(self._spilled, name) | self._one(self._written, name)
        for t in [t for of, t in self._here if of == name]:
            fetched = self._fetched[name, t] = self._program.variable(self._size(name), high=int(tensor.fetchable), integer=False)
            before = self._one(self._here, (name, t - 1))
            made = self._runs(makers[0], t) if makers else {}
            row(_sum({fetched: 1, self._here[name, t]: -1}, before, made, self._one(self._lasting, name)), low=0)
            if not tensor.stored:
                row(in_memory | {fetched: -1}, low=0)
        if not tensor.stored:
            for through in (variable for (of, _), variable in self._through.items() if of == name):
                row(in_memory | {through: -1}, low=0)
        if tensor.wanted:
            row(in_memory, low=1)

    def _strengthen(self, name: str, every_order: EveryOrder) -> None:
        fetches = {variable: 1.0 for (of, _), variable in self._fetched.items() if of == name}
        beside = {o: variable for (of, o), variable in self._through.items() if of == name}
        every_order.add(name, fetches, beside, self._spilled.get(name), self._written.get(name), self._lasting.get(name))

    def _loads(self) -> Iterator[dict[int, float]]:
        """Of each step, the sum of sizes."""
        loads = [
            {self._lasting[name]: float(self._size(name)) for name in self._lasting if (name, t) not in self._here}
            for t in range(self._steps)
        ]
        for (name, t), here in self._here.items():
            loads[t][here] = self._size(name)
        for (name, t), runs in self._inside.items():
            loads[t] = _sum(loads[t], {variable: self._size(name) * factor for variable, factor in runs.items()})
        return iter(loads)

    def _until(self, o: int, t: int) -> dict[int, float]:
        """Whether an operation runs at a step, or before."""
        steps = self._windows[o]
        return {self._ran[o, min(t, steps[-1])]: 1.0} if t >= steps[0] else {}

    def _runs(self, o: int, t: int) -> dict[int, float]:
        """Whether an operation runs at a step."""
        return _sum(self._until(o, t), _less(self._until(o, t - 1)))

    @staticmethod
    def _one(variables: Mapping, key: object) -> dict[int, float]:
        return {variables[key]: 1.0} if key in variables else {}

    def _values(self, start: Schedule) -> dict[int, float]:
        """Of the variables that decide all others."""
        step = {o: t for t, o in enumerate(start.order)}
        here = {(stay.tensor, t) for stay in start.stays for t in range(stay.first, stay.last + 1)}
        through = {(name, start.order[t]) for t, names in start.streams.items() for name in names}
        written = {name for name, o in through if o in self._problem.makers[name]}
        known = [(self._ran, {(o, t) for o, t in self._ran if t >= step[o]}), (self._here, here), (self._through, through)]
        known += [(self._written, written), (self._lasting, start.lasting)]
        return {variable: float(key in chosen) for variables, chosen in known for key, variable in variables.items()}

    def _schedule(self, ones: NDArray) -> Schedule:
        first = {o: next(t for t in steps if ones[self._ran[o, t]]) for o, steps in self._windows.items()}
        order = sorted(first, key=first.__getitem__)
        lasting = frozenset(name for name, variable in self._lasting.items() if ones[variable])
        written = {name for name, variable in self._written.items() if ones[variable]}
        streams = dict[int, frozenset[str]]()
        for t, o in enumerate(order):
            made = {name for name in written if o in self._problem.makers[name]}
            read = {name for (name, of), variable in self._through.items() if of == o and ones[variable]}
            streams |= {t: frozenset(made | read)} if made | read else {}
        stays = [Stay(tensor=name, first=0, last=self._steps - 1) for name in lasting]
        for name in self._problem.tensors:
            if name not in lasting:
                stays += self._stays_of(name, ones, order, streams)
        return Schedule(order=order, stays=stays, streams=streams, lasting=lasting)

    def _stays_of(self, name: str, ones: NDArray, order: Sequence[int], streams: Mapping[int, frozenset[str]]) -> Iterator[Stay]:
        makers = self._problem.makers[name]
        used = [t for t, o in enumerate(order) if name in self._problem.operations[o].touches and name not in streams.get(t, ())]
        made = [t for t in used if order[t] in makers]
        here = [t for of, t in self._here if of == name and ones[self._here[of, t]]] or used
        for _, run in groupby(enumerate(here), key=lambda pair: pair[1] - pair[0]):
            steps = [t for _, t in run]
            uses = [t for t in used if steps[0] <= t <= steps[-1]]
            if not uses:
                continue
            fetched = uses[0] not in made
            spilled = not fetched and name in self._spilled and bool(ones[self._spilled[name]])
            first = max(steps[0], uses[0] - self._margin) if fetched else uses[0]
            last = min(steps[-1], uses[-1] + self._margin) if spilled and uses[-1] == made[-1] else uses[-1]
            yield Stay(tensor=name, first=first, last=last, fetched=fetched, spilled=spilled)


def _sum(*terms: Mapping[int, float]) -> dict[int, float]:
    total = defaultdict[int, float](float)
    for of_it in terms:
        for variable, factor in of_it.items():
            total[variable] += factor
    return total


def _less(terms: Mapping[int, float]) -> dict[int, float]:
    return {variable: -factor for variable, factor in terms.items()}
