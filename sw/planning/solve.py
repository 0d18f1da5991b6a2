"""The plan that moves least: of good orders the best one, made better by integer programs, each over a part of the order or all of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from .addresses import addresses
from .blocks import Block, Blocks
from .check import check
from .choice import Choice
from .integer import fewest_exposed, fewest_moves, moved
from .orders import orders
from .peak import LowestPeak, peak, unspilled
from .problem import PlanningError, Problem
from .schedule import Plan, Schedule

PART = 24  # blocks of an order, that change places in one program
SMALL = 1000  # steps at which blocks can begin, in all, up to which one program takes all of an order at once
PARTS = 0.4  # of the time, that parts of larger ones may take before all of it is tried
MOST_SETS, FEW_SETS = 20_000, 1_000  # that the search for the lowest peak looks at, where that is asked for, or an order to begin with
LEAST_SECONDS = 2.0  # for what must be done when time is up
TIGHTER = (0.99, 0.97, 0.95, 0.9, 0.85, 0.8)  # of the capacity, that stays may take where in all of it no addresses are found
Tell = Callable[[str], None]


def best_plan(problem: Problem, capacity: int, seconds: float, *, tell: Tell = lambda text: None) -> Plan:
    """Of all orders, addresses and spills, as far as it is found in that time; its ``bound`` says how far it may be off. tell: hears what
    is being done.

    Raises PlanningError where the capacity does not hold an operation, what it makes is not needed, or nothing is found.
    """
    problem.require_connected()
    large = max(problem.operations, key=problem.least)
    if problem.least(large) > capacity:
        raise PlanningError(f"{large.name} takes {problem.least(large)} at once, but the scratchpad holds {capacity}")
    search = _Search(problem, capacity, float(problem.compulsory), monotonic() + seconds, tell)
    found = search.run()
    tell("addresses")
    return _placed(problem, capacity, found, search.bound, search.end)


def smallest_plan(problem: Problem, seconds: float, *, tell: Tell = lambda text: None) -> tuple[Plan, int]:
    """The plan with the smallest scratchpad that spills nothing, which is its ``capacity``, and what none is smaller than. Raises
    PlanningError where something is made that is not needed."""
    problem.require_connected()
    end, blocks = monotonic() + seconds, Blocks.of(problem)
    tell("the order")
    search = LowestPeak.of(blocks)
    order = search.order(MOST_SETS)
    candidates = [order] if order else [_operations(order) for order in orders(blocks)]
    lowest = min((unspilled(problem, order) for order in candidates), key=lambda schedule: peak(problem, schedule))
    least = capacity = peak(problem, lowest)
    while True:  # what has no gaps between its tensors is rarely much larger
        tell("addresses")
        try:
            return _placed(problem, capacity, lowest, problem.compulsory, end, tighter=()), search.limit
        except PlanningError:
            capacity += -(-least // 100)


@dataclass
class _Search:
    """bound: that nothing is below; what is known at first, and then what was proved."""

    problem: Problem
    capacity: int
    bound: float
    end: float
    tell: Tell
    best: Schedule | None = None

    def run(self) -> Schedule:
        """Raises PlanningError where nothing is found."""
        blocks = Blocks.of(self.problem)
        self.tell("the order with the lowest peak")
        lowest = LowestPeak.of(blocks).order(FEW_SETS)
        first = [lowest] if lowest else []
        for number, order in enumerate([*first, *(_operations(order) for order in orders(blocks))]):
            if self.open:
                self.tell(f"order {number + 1}")
                self.take(Choice.none(order))
        if sum(map(len, blocks.windows.values())) > SMALL:
            self.divide(blocks, self.end - (1 - PARTS) * self.left)
        if self.open:
            self.tell("all of the order")
            self.bound = max(self.bound, self.take(Choice.all(blocks), start=self.best))
        if self.best is None:
            raise PlanningError("no plan was found in the time for it")
        return self.best

    @property
    def open(self) -> bool:
        """Whether there may be better ones, and time to find them."""
        return self.best is None or (moved(self.problem, self.best) > self.bound and self.left > 0)

    @property
    def left(self) -> float:
        return self.end - monotonic()

    def take(self, choice: Choice, *, start: Schedule | None = None) -> float:
        """What is found, if it is better; the bound of that choice."""
        found = fewest_moves(self.problem, self.capacity, max(self.left, LEAST_SECONDS), choice, start=start)
        if found.schedule and (self.best is None or moved(self.problem, found.schedule) < moved(self.problem, self.best)):
            self.best = found.schedule
        return found.bound

    def divide(self, blocks: Blocks, until: float) -> None:
        """Chooses the order anew part by part, as long as that makes it better."""
        before = None
        while self.best and self.open and moved(self.problem, self.best) != before:
            before = moved(self.problem, self.best)
            for first in range(0, len(blocks.blocks), PART // 2):
                if self.open and monotonic() < until:
                    self.tell(f"part {first * 2 // PART + 1} of the order")
                    step = {o: t for t, o in enumerate(self.best.order)}
                    order = sorted(blocks.blocks, key=lambda block: step[block[0]])
                    self.take(Choice.part(blocks, order, first, min(first + PART, len(order))), start=self.best)


def _operations(order: Sequence[Block]) -> list[int]:
    return [o for block in order for o in block]


def _placed(problem: Problem, capacity: int, schedule: Schedule, bound: float, end: float, *, tighter: Sequence[float] = TIGHTER) -> Plan:
    """With addresses, and as much hidden behind operations as these allow."""

    def seconds() -> float:
        return max(end - monotonic(), LEAST_SECONDS)

    def candidates() -> Iterator[Schedule | None]:
        yield fewest_exposed(problem, capacity, seconds(), schedule).schedule
        yield schedule
        for share in tighter:
            yield fewest_moves(problem, int(capacity * share), seconds(), Choice.none(schedule.order)).schedule

    sizes = {name: tensor.size for name, tensor in problem.tensors.items()}
    for candidate in candidates():
        found = candidate and addresses(sizes, candidate.stays, capacity, seconds())
        if candidate and found:
            traffic = check(problem, candidate, found, capacity)
            moves, exposed = traffic.moved, traffic.exposed
            return Plan(schedule=candidate, addresses=found, capacity=capacity, moved=moves, bound=min(bound, moves), exposed=exposed)
    raise PlanningError(f"no addresses were found for what stays in a scratchpad of {capacity}")
