"""Where stays lie, so that no two that meet overlap: by placing one after the other, or where that fails by an integer program."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from random import Random

from .highs import Program
from .schedule import Stay

TRIES = 500  # in each of which the stay that found no place in the one before comes earlier


def addresses(size: Mapping[str, int], stays: Sequence[Stay], capacity: int, seconds: float) -> list[int] | None:
    """Of the stays, in their order, of tensors of that size; None where none are found in that time, or there are none."""
    sizes = [size[stay.tensor] for stay in stays]
    meets = [[j for j, other in enumerate(stays) if j != i and stay.meets(other)] for i, stay in enumerate(stays)]
    order = sorted(range(len(stays)), key=lambda i: (-sizes[i], stays[i].first))
    random = Random(0)
    for _ in range(TRIES):
        placed, failed = _placed(order, sizes, meets, capacity)
        if failed is None:
            return [placed[i] for i in range(len(stays))]
        place = order.index(failed)
        order.insert(random.randrange(place + 1), order.pop(place))
    return _by_program(sizes, meets, capacity, seconds)


def _placed(order: Iterable[int], sizes: Sequence[int], meets: Sequence[Sequence[int]], capacity: int) -> tuple[dict[int, int], int | None]:
    """One after the other, each at the end of the smallest gap that holds it which lies closer to an end of the scratchpad, so that the
    room in the middle stays whole; and the first one that finds none."""
    placed = dict[int, int]()
    for i in order:
        taken = sorted((placed[j], placed[j] + sizes[j]) for j in meets[i] if j in placed)
        gaps, start = list[tuple[int, int]](), 0
        for low, high in [*taken, (capacity, capacity)]:
            if low - start >= sizes[i]:
                gaps.append((low - start, start))
            start = max(start, high)
        if not gaps:
            return placed, i
        room, start = min(gaps)
        low, high = start, start + room - sizes[i]
        placed[i] = low if start <= capacity - start - room else high
    return placed, None


def _by_program(sizes: Sequence[int], meets: Sequence[Sequence[int]], capacity: int, seconds: float) -> list[int] | None:
    """COSMA's rows: of two that meet the one lies above the other, or below it."""
    program = Program()
    at = [program.variable(high=capacity - size, integer=False) for size in sizes]
    for i, j in combinations(range(len(sizes)), 2):
        if j in meets[i]:
            above = program.variable()
            program.row({at[i]: 1, at[j]: -1, above: -capacity}, low=sizes[j] - capacity)
            program.row({at[j]: 1, at[i]: -1, above: capacity}, low=sizes[i])
    values = program.solve(seconds).values
    return None if values is None else [round(values[variable]) for variable in at]
