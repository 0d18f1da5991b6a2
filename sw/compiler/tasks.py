"""Operators to tasks: what one engine does on rectangles of memory, tiled so that what isn't resident fits the staging area."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise, product, starmap

from ...rtl.arch.steps import COMMANDS
from .. import graph as ir
from ..pim.operator import Pim
from .bands import BandRows, Bands, part_of, placed
from .cost import compute_cycles
from .deform import Deforms
from .errors import CompileError
from .operands import Operands
from .pim import PimTasks
from .pipeline import Pipeline, PipelineTasks
from .products import Products
from .rowwise import OPERATIONS, Rowwise
from .selection import Selection
from .task import Task, Way
from .transfers import Transfers


class TaskMaker:
    """Makes tasks for operators of a graph, from their ``operands``. staging_words: of the staging area, for a task."""

    def __init__(self, operands: Operands, *, staging_words: int) -> None:
        self._operands, self._p, self._staging_words = operands, operands.parameters, staging_words
        selection = Selection(operands)
        self._ways = {
            ir.MatMul: Products(operands).of,
            ir.Pick: selection.pick,
            ir.Gather: selection.gather,
            ir.Fetch: selection.fetch,
            Pim: PimTasks(operands).of,
            ir.Deform: Deforms(operands).of,
            ir.Transfer: Transfers(operands).of,
            **dict.fromkeys(OPERATIONS, Rowwise(operands).of),
        }

    def tasks(self, operator: ir.Operator, own: tuple[int, ...] = ()) -> Iterator[Task]:
        """The operator's tasks in order; if it has its ``own`` units, on those. Raises CompileError where it can't be mapped."""
        yield from self._of_ways(operator, self._ways_of(operator), own)

    def bands(self, bands: Bands, operators: Mapping[str, ir.Operator]) -> Iterator[Task]:
        """Of operators by name. Raises CompileError as `tasks`."""
        rows_of, tasks = self.band_rows(bands, operators), dict[tuple[int, int], list[Task]]()
        for band, rows in enumerate(rows_of):
            origins = rows_of.origins(band, rows)
            for i, (name, way, of_it) in enumerate(zip(bands.operators, rows_of.ways, rows, strict=True)):
                made = self._of_ways(operators[name], [part_of(way, of_it)], bands.units[i] if bands.units else ())
                # Side by side each operator is a band ahead of the next one.
                tasks[(band + i, -i) if bands.units else (band, i)] = [placed(task, origins) for task in made]
        return (task for slot in sorted(tasks) for task in tasks[slot])

    def band_rows(self, bands: Bands, operators: Mapping[str, ir.Operator]) -> BandRows:
        """Raises CompileError where an operator is not one way, or there are fewer rows than bands."""
        ways = [self._ways_of(operators[name]) for name in bands.operators]
        if any(len(of_one) > 1 for of_one in ways):
            raise CompileError(f"its operators must take whole rows at once: {bands}")
        if ways[-1][0].rows < bands.count:
            raise CompileError(f"only {ways[-1][0].rows} bands can be made: {bands}")
        return BandRows(bands=bands, ways=[way for (way,) in ways])

    def _ways_of(self, operator: ir.Operator) -> list[Way]:
        with _naming(operator):
            return list(self._ways[type(operator)](operator))

    def _of_ways(self, operator: ir.Operator, ways: Sequence[Way], own: tuple[int, ...]) -> Iterator[Task]:
        with _naming(operator):
            units = len(own) or self._p.units
            shared = isinstance(operator, ir.MatMul) and len(ways) % units != 0
            made = (task for way in ways for task in (self._shared(way, units) if shared else self._tiled(way)))
            for number, task in enumerate(made):
                COMMANDS[task.engine].pack(task.unplaced)  # raises where a dimension exceeds its field
                yield replace(task, unit=own[number % units]) if own else task

    def pipeline(self, pipeline: Pipeline, operators: Mapping[str, ir.Operator], *, first_link: int) -> PipelineTasks:
        """Of operators by name, with links from that number on. Raises CompileError where they can't be one."""
        ways = [self._ways_of(operators[name]) for name in pipeline.operators]
        found = PipelineTasks(pipeline=pipeline, ways=ways, parameters=self._p, first_link=first_link)
        needed = max(self._staging(task) for task in found.tasks())
        if needed > self._staging_words:
            raise CompileError(f"a step needs {needed} words beside the resident tensors, but {self._staging_words} are free: {pipeline}")
        return found

    def _staging(self, task: Task) -> int:
        return sum(operand.size for operand in task.operands.values() if self._operands.is_staged(operand))

    def _tiled(self, way: Way, *, row_tiles: int = 1, cols_inside: bool = False) -> Iterator[Task]:
        """The largest tiles that fit, columns outermost or innermost; of ``row_tiles`` rows of them, or a multiple of that."""
        cols, step = way.cols, way.col_step
        cuts = [[*_even(way.rows, _parts(way.rows, most, row_tiles))] for most in _halves(min(way.rows, way.most_rows))]
        col_sizes = [min(cols, steps * step) for steps in _halves(-(-min(cols, way.most_cols) // step))]
        sizes = sorted(product(cuts, col_sizes), key=lambda s: -len(s[0][0]) * s[1])

        def staging(tiles: Sequence[range], tile_cols: int) -> int:
            """Of the largest tile: the first, but windows at the edge of a feature map read less of it than others."""
            return max(self._staging(way.make(tile.start, len(tile), 0, tile_cols)) for tile in (tiles[:1] if way.alike else tiles))

        for tiles, tile_cols in sizes:
            if staging(tiles, tile_cols) <= self._staging_words:
                first_cols = range(0, cols, tile_cols)
                places = product(tiles, first_cols) if cols_inside else ((tile, col) for col in first_cols for tile in tiles)
                yield from (way.make(tile.start, len(tile), col, min(tile_cols, cols - col)) for tile, col in places)
                return
        smallest = staging(cuts[-1], col_sizes[-1])
        raise CompileError(
            f"its smallest tile needs {smallest} words of {self._p.word_bytes} bytes beside the resident tensors, "
            f"but {self._staging_words} are free: a larger scratchpad is needed"
        )

    def _shared(self, way: Way, units: int) -> Iterator[Task]:
        """Such that so many units have as much to do: each has rows of its own, or columns where that is faster, or moves less."""
        share_of_rows = _share(way.rows, way.most_rows, units)
        share_of_cols = -(-_share(way.cols, way.most_cols, units) // way.col_step) * way.col_step
        if self._effort(way, share_of_rows, way.cols) <= self._effort(way, way.rows, min(way.cols, share_of_cols)):
            return self._tiled(way, row_tiles=units)
        return self._tiled(replace(way, most_cols=share_of_cols), cols_inside=True)

    def _effort(self, way: Way, rows: int, cols: int) -> tuple[int, int]:
        """Of shares of so many rows and columns: cycles of a unit, or of the memory port for all of them; and words moved."""
        most = min(rows, way.most_rows)
        moved = -(-way.rows // most) * -(-way.cols // cols) * self._staging(way.make(0, most, 0, cols))
        return max(compute_cycles(way.make(0, rows, 0, cols).unplaced, self._p), moved * self._p.beats_per_word), moved


@contextmanager
def _naming(operator: ir.Operator) -> Iterator[None]:
    """Says of what is wrong with an operator which it is."""
    try:
        yield
    except ValueError as e:
        raise CompileError(f"{operator.node}: {e} ({operator})") from None


def _parts(count: int, most: int, units: int) -> int:
    """Into how many parts of ``most`` at the most ``count`` is cut, such that each unit gets the same number."""
    return units * -(-count // (units * most))


def _share(count: int, most: int, units: int) -> int:
    """The size of the largest of these parts."""
    return -(-count // _parts(count, most, units))


def _even(count: int, parts: int) -> Iterator[range]:
    """0 to count - 1 in so many parts, none of them empty, the first ones longer by one where they can't be alike: units that take them in
    turn have as much to do."""
    parts = min(parts, count)
    size, longer = divmod(count, parts)
    return starmap(range, pairwise(size * i + min(i, longer) for i in range(parts + 1)))


def _halves(count: int) -> Iterator[int]:
    """count, half of it rounded up, and so on down to 1."""
    yield count
    while count > 1:
        count = -(-count // 2)
        yield count
