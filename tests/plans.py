"""Problems of the planner, and the cheapest schedule of one by trying all."""

from collections.abc import Iterable
from itertools import combinations, permutations

from celosia.sw.planning.problem import Operation, Problem, Tensor
from hypothesis import strategies as st


@st.composite
def problems(draw: st.DrawFn, most: int = 5) -> Problem:
    """Operations on inputs, weights and each other's results; some of these in parts, some that pass through beside the scratchpad."""
    size = st.integers(1, 6)
    tensors = {"x": Tensor("x", draw(size), stored=True), "w": Tensor("w", draw(size), stored=True, lasting=draw(st.booleans()))}
    operations, made = list[Operation](), ["x"]
    for i in range(draw(st.integers(2, most))):
        reads = draw(st.lists(st.sampled_from(made), min_size=1, max_size=2, unique=True))
        reads += ["w"] if draw(st.integers(0, 2)) == 0 else []
        out = f"t{i}"
        tensors[out] = Tensor(out, draw(size))
        touched = [*reads, out]
        streams = {name: tensors[name].size + draw(st.integers(0, 2)) for name in touched if draw(st.integers(0, 3)) == 0}
        operations.append(Operation(f"o{i}", tuple(reads), (out,), streams))
        made.append(out)
    read = {name for operation in operations for name in operation.reads}
    used = {name: tensor for name, tensor in tensors.items() if name in read or tensor.name.startswith("t")}
    return Problem(used | {name: Tensor(name, used[name].size, wanted=True) for name in used if name not in read}, tuple(operations))


def cheapest(problem: Problem, capacity: int) -> int | None:
    """What the cheapest schedule moves, of all orders and all that can be in the scratchpad at each step, gaps left out; None where there
    is none."""
    costs = (_cheapest_of(problem, order, capacity) for order in permutations(range(len(problem.operations))))
    return min((cost for cost in costs if cost is not None), default=None)


def _cheapest_of(problem: Problem, order: tuple[int, ...], capacity: int) -> int | None:
    if any(problem.needs[o] - set(order[:t]) for t, o in enumerate(order)):
        return None
    stored = frozenset(tensor.name for tensor in problem.tensors.values() if tensor.stored)
    lasting = [tensor.name for tensor in problem.tensors.values() if tensor.lasting]
    best = None
    for count in range(len(lasting) + 1):
        for stay in combinations(lasting, count):
            cost = _cheapest_with(problem, order, capacity, stored, frozenset(stay))
            best = cost if best is None or (cost is not None and cost < best) else best
    return best


def _cheapest_with(problem: Problem, order: tuple[int, ...], capacity: int, stored: frozenset[str], stay: frozenset[str]) -> int | None:
    """states: the cost at which these tensors are in the scratchpad, and these in external memory."""
    states = {(stay, stored): 0}
    for o in order:
        operation, after = problem.operations[o], dict[tuple[frozenset[str], frozenset[str]], int]()
        for (here, memory), cost in states.items():
            for streamed in _subsets(operation.streams.keys() - stay):
                read = set(operation.reads) - streamed
                if not (set(operation.reads) & streamed) <= memory:
                    continue
                fetched = read - here
                if not fetched <= memory:
                    continue
                made = set(operation.writes) - streamed
                price = cost + problem.size(fetched) + sum(operation.streams[name] for name in streamed)
                for kept in _subsets(here - read - stay):
                    now = frozenset(kept | read | made | stay)
                    if problem.size(now) > capacity:
                        continue
                    for spilled in _subsets(made):
                        key = now, memory | frozenset(spilled) | (set(operation.writes) & streamed)
                        total = price + problem.size(spilled)
                        after[key] = min(total, after.get(key, total))
        states = after
    wanted = {tensor.name for tensor in problem.tensors.values() if tensor.wanted}
    return min((cost for (_, memory), cost in states.items() if wanted <= memory), default=None)


def _subsets(names: Iterable[str]) -> list[set[str]]:
    ordered = sorted(names)
    return [set(chosen) for count in range(len(ordered) + 1) for chosen in combinations(ordered, count)]
