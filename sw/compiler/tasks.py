"""Operators to tasks: what one engine does on rectangles of memory, tiled so that what isn't resident fits the staging area."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product, starmap

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.formats import narrowness
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import (
    CHANNEL,
    COMMANDS,
    COUNT_BITS,
    IMPORTANCE_ADDS,
    RESIDUAL_SCALARS,
    VECTOR_SCALARS,
    Engine,
    VectorOperation,
    place_bits,
)
from ...rtl.arch.window import matrix_walk
from .. import graph as ir
from .cost import compute_cycles
from .errors import CompileError
from .groups import bundles, by_channel, grouped_weights, in_groups, pixels_of_tap
from .layout import Buffer, Layout, spare_words
from .pieces import Pieces

MAX_ROWS = (1 << COUNT_BITS) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Shift:
    """Where a number lies in the scratchpad, of blocks of ``words`` words in external memory: an element of a word of a buffer's first
    row."""

    buffer: Buffer
    word: int
    element: int
    words: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Operand:
    """A rectangle of a buffer: ``rows`` rows of ``words`` words. repeat: the one row is read again for each row of the task. spare: words
    behind each row in the staging area. shift: so many blocks before it are passed over; it always goes through the staging area."""

    buffer: Buffer
    row: int
    rows: int
    word: int
    words: int
    repeat: bool = False
    spare: int = 0
    shift: Shift | None = None

    @property
    def stride(self) -> int:
        """Words from a row to the next in the staging area."""
        return self.words + self.spare

    @property
    def size(self) -> int:
        """Words in the staging area."""
        return self.rows * self.stride


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A step but for its addresses. command: the other fields. operands: by the name of their address field; ``out`` is written.

    walk: makes the fields of operand a from its address and the words from a row of it to the next, where they are more than these.
    source: what a load fetches from external memory, of which the command says the rest. unit: which of the engine's does it, or None for
    any.
    """

    engine: Engine
    operator: ir.Operator
    command: Mapping[str, int]
    operands: Mapping[str, Operand]
    walk: Callable[[int, int], Mapping[str, int]] | None = None
    source: Operand | None = None
    unit: int | None = None

    @property
    def unplaced(self) -> Mapping[str, int]:
        """The command but for where its operands lie."""
        return {**self.command, **(self.walk(0, self.operands["a"].buffer.row_words) if self.walk else {})}


Staged = Callable[[Buffer], bool]
MakeTask = Callable[[int, int, int, int], Task]  # of the first row, rows, first column, columns


class TaskMaker:
    """Makes tasks for operators of a graph.

    staged: tells the buffers that pass through the staging area, of ``staging_words`` a task. pieces: that a task is limited to. fetched:
    names of tensors that come as they lie in external memory, padding included.
    """

    def __init__(
        self,
        parameters: MachineParameters,
        layouts: Mapping[str, Layout],
        buffers: Mapping[str, Buffer],
        *,
        staged: Staged,
        staging_words: int,
        pieces: Pieces,
        fetched: Container[str],
    ) -> None:
        self._p, self._fetched = parameters, fetched
        self._layouts, self._buffers = layouts, buffers
        self._staged, self._staging_words = staged, staging_words
        self._pieces = pieces
        self._makers = {
            ir.MatMul: self._product,
            ir.Pick: self._pick,
            ir.Gather: self._gather,
            ir.Fetch: self._fetch,
            **dict.fromkeys(OPERATIONS, self._row_operator),
        }

    def tasks(self, operator: ir.Operator) -> Iterator[Task]:
        """The operator's tasks in order. Raises CompileError where it can't be mapped."""
        try:
            for task in self._makers[type(operator)](operator):
                COMMANDS[task.engine].pack(task.unplaced)  # raises where a dimension exceeds its field
                yield task
        except ValueError as e:
            raise CompileError(f"{operator.node}: {e} ({operator})") from None

    def _staging(self, task: Task) -> int:
        return sum(operand.size for operand in task.operands.values() if operand.shift or self._staged(operand.buffer))

    def _tiled(
        self,
        make: MakeTask,
        rows: int,
        cols: int,
        most_rows: int,
        most_cols: int,
        col_step: int,
        *,
        row_tiles: int = 1,
        cols_inside: bool = False,
    ) -> Iterator[Task]:
        """The largest tiles that fit, columns outermost or innermost; of ``row_tiles`` rows of them, or a multiple of that."""
        cuts = [[*_even(rows, _parts(rows, most, row_tiles))] for most in _halves(min(rows, most_rows))]
        col_sizes = [min(cols, steps * col_step) for steps in _halves(-(-min(cols, most_cols) // col_step))]
        sizes = sorted(product(cuts, col_sizes), key=lambda s: -len(s[0][0]) * s[1])

        def staging(tiles: Sequence[range], tile_cols: int) -> int:
            """Of the largest tile: windows at the edge of a feature map read less of it than others."""
            return max(self._staging(make(tile.start, len(tile), 0, tile_cols)) for tile in tiles)

        for tiles, tile_cols in sizes:
            if staging(tiles, tile_cols) <= self._staging_words:
                first_cols = range(0, cols, tile_cols)
                places = product(tiles, first_cols) if cols_inside else ((tile, col) for col in first_cols for tile in tiles)
                yield from (make(tile.start, len(tile), col, min(tile_cols, cols - col)) for tile, col in places)
                return
        smallest = staging(cuts[-1], col_sizes[-1])
        raise CompileError(
            f"its smallest tile needs {smallest} words of {self._p.word_bytes} bytes beside the resident tensors, "
            f"but {self._staging_words} are free: a larger scratchpad is needed"
        )

    def _piece(self, make: MakeTask, rows: int, cols: int, limit: int, *blocks: ir.Block) -> int:
        """The most rows of a task: those of a piece, unless each would load the same constants again."""
        constants = (operand.buffer for operand in make(0, rows, 0, cols).operands.values() if operand.buffer.data is not None)
        return limit if any(self._staged(buffer) for buffer in constants) else self._pieces.most_rows(limit, *blocks)

    def _rectangle(self, block: ir.Block, row: int, rows: int, col: int, cols: int, *, repeat: bool = False) -> Operand:
        """Rows and columns of a block, counted from its corner; the columns start a word and lie in one group."""
        layout = self._layouts[block.tensor.name]
        start = block.col + col
        word = layout.word(start)
        if start // layout.group != (start + cols - 1) // layout.group:
            raise CompileError(f"columns {start} to {start + cols - 1} of {block.tensor.name} are not contiguous")
        words = -(-cols // layout.word_elements)
        return Operand(buffer=self._buffers[block.tensor.name], row=block.row + row, rows=rows, word=word, words=words, repeat=repeat)

    def _product(self, op: ir.MatMul) -> Iterator[Task]:
        p, makers = self._p, list[tuple[MakeTask, int, int, int, int]]()
        if op.shift:
            self._require_pruning()
        if op.maximum and not by_channel(op, p):
            raise CompileError("max pooling needs an array of as many rows as columns, with depthwise_taps")
        for part in op.parts:
            bits = self._layouts[part.b.tensor.name].bits
            if bits > p.weight_bits:
                raise CompileError(f"{part.b} is kept in elements of {bits} bits, but weight_bits is {p.weight_bits}")
            if op.groups and not p.factor_bits:
                raise CompileError(f"{part.b} has scales of groups along K, but factor_bits is {p.factor_bits}")
            for first, count in _channel_segments(self._layouts, op, part, p):
                ways = self._convolution if op.window else self._matmul
                makers += ((make, rows, count, most_rows, most_cols) for make, rows, most_rows, most_cols in ways(op, part, first, count))
        for make, rows, cols, most_rows, most_cols in makers:
            shared = len(makers) % p.units != 0
            row_tiles, width, by_cols = self._shared(make, rows, cols, most_rows, most_cols) if shared else (1, most_cols, False)
            yield from self._tiled(make, rows, cols, most_rows, width, self._col_step, row_tiles=row_tiles, cols_inside=by_cols)

    @property
    def _col_step(self) -> int:
        """Tiles of columns start at multiples of it."""
        return max(self._p.cols, self._p.word_bytes)

    def _shared(self, make: MakeTask, rows: int, cols: int, most_rows: int, most_cols: int) -> tuple[int, int, bool]:
        """Of how many rows of tiles there is a multiple, and the most columns of a tile, such that all units have as much to do; and
        whether each has columns of its own, where that is faster than rows."""
        p = self._p
        share_of_rows = _share(rows, most_rows, p.units)
        share_of_cols = -(-_share(cols, most_cols, p.units) // self._col_step) * self._col_step
        of_rows, of_cols = (make(0, r, 0, c).unplaced for r, c in ((share_of_rows, cols), (rows, min(cols, share_of_cols))))
        if compute_cycles(of_rows, p) <= compute_cycles(of_cols, p):
            return p.units, most_cols, False
        return 1, share_of_cols, True

    def _matmul(self, op: ir.MatMul, part: ir.MatMulPart, first: int, count: int) -> Iterator[tuple[MakeTask, int, int, int]]:
        """How tasks are made, of how many rows in all, and how many rows and columns at most at once."""
        k, whole = self._depth(op, part)

        def make(row: int, rows: int, col: int, cols: int) -> Task:
            n = first + col
            if whole:
                a, b = (self._rows(block, r, c) for block, r, c in ((part.a, row, rows), (part.b, n, cols)))
            else:
                a = self._rectangle(part.a, row, rows, 0, part.a.cols)
                if op.groups:
                    b = self._rows(part.b, n, cols)
                elif op.b_transposed:
                    b = self._rectangle(part.b, n, cols, 0, part.b.cols)
                else:
                    b = self._rectangle(part.b, 0, part.b.rows, n, cols)
            operands = {"a": a, "b": b, **self._results(op, part, row, rows, n, cols)}
            walk = partial(matrix_walk, rows=rows, k=k, word_bytes=self._p.word_bytes, taps=op.groups or 1, again=op.planes)
            return self._compute(op, part, {"n": cols}, operands, (first, count), col, walk)

        most_cols = self._pieces.most_cols(count, part.b, part.out)
        in_rows = [part.out] if most_cols < count else [part.a, part.out]
        yield make, part.a.rows, self._piece(make, part.a.rows, count, self._p.accumulator_depth, *in_rows), most_cols

    def _convolution(self, op: ir.MatMul, part: ir.MatMulPart, first: int, count: int) -> Iterator[tuple[MakeTask, int, int, int]]:
        """As `_matmul`, in lines of windows; lines longer than the accumulators are cut."""
        window, depth = op.window, self._p.accumulator_depth
        assert window
        for column in range(0, window.columns, depth):
            columns = min(depth, window.columns - column)

            def make(line: int, lines: int, col: int, cols: int, column=column, columns=columns) -> Task:
                n, read = first + col, window.lines_read(line, lines)
                start, outputs = line * window.columns + column, (lines - 1) * window.columns + columns
                a, map_walk = self._feature_map(op, part, read, n, cols)
                operands = {"a": a, "b": self._rows(part.b, n, cols), **self._results(op, part, start, outputs, n, cols)}
                fields = {"m": columns, "lines": lines, "n": cols}
                walk = partial(map_walk, line=line, column=column, top=read.start, height=len(read))
                return self._compute(op, part, fields, operands, (first, count), col, walk)

            yield make, window.lines, max(1, depth // columns) if columns == window.columns else 1, count

    def _results(self, op: ir.MatMul, part: ir.MatMulPart, row: int, rows: int, n: int, cols: int) -> Mapping[str, Operand]:
        """Where results lie, and what is added to them."""
        blocks = {"out": part.out} | ({"r": op.residual.r} if op.residual else {})
        return {name: self._rectangle(block, row, rows, n, cols) for name, block in blocks.items()}

    def _feature_map(
        self, op: ir.MatMul, part: ir.MatMulPart, lines: range, n: int, cols: int
    ) -> tuple[Operand, Callable[..., Mapping[str, int]]]:
        """What output channels n to n + cols - 1 need of ``lines`` of the map, and what makes the fields for its windows."""
        window, layout, bits = op.window, self._layouts[part.a.tensor.name], place_bits(self._p.rows)
        assert window
        if layout.line > 1:  # kept without gaps
            pixel = part.a.cols

            def walk_runs(address: int, stride: int, **place: int) -> Mapping[str, int]:
                return {**window.walk(address, stride, pixel, **place), **window.run, "k": window.kernel[1] * pixel}

            return self._rows(part.a, lines.start, len(lines)), walk_runs

        if by_channel(op, self._p):
            channels = range(n, n + cols)
        else:
            bundle = next(b for b in bundles(self._layouts, op, part) if b.out_first <= n < b.out_first + b.out_count)
            channels = range(bundle.first, bundle.first + bundle.count)

        def walk(address: int, stride: int, **place: int) -> Mapping[str, int]:
            pixel = stride << bits
            fields = {**window.walk(address, window.width * stride, pixel, **place), "k": len(channels)}
            return {**fields, **window.depthwise(pixel, pixels_of_tap(op))} if by_channel(op, self._p) else fields

        return self._rectangle(part.a, lines.start * window.width, len(lines) * window.width, channels.start, len(channels)), walk

    def _compute(
        self,
        op: ir.MatMul,
        part: ir.MatMulPart,
        fields: Mapping[str, int],
        operands: Mapping[str, Operand],
        segment: tuple[int, int],
        col: int,
        walk: Callable[[int, int], Mapping[str, int]],
    ) -> Task:
        """A task on the channels from ``col`` of the ``segment`` (first, count) on."""
        p, q, cols = self._p, op.parameters, fields["n"]
        command = {
            **fields,
            **{"a_zero_point": q.a_zero_point, "b_zero_point": q.b_zero_point, "out_zero_point": q.out_zero_point},
            **{"low": q.low, "high": q.high},
            **{"maximum": int(op.maximum), "b_transposed": int(op.b_transposed), "out_wide": int(part.out.tensor.bits == 16)},
            **{"tabulated": int(op.table is not None), "residual": int(op.residual is not None)},
            **{"b_narrow": narrowness(self._layouts[part.b.tensor.name].bits), "b_factored": int(op.groups > 0)},
        }
        if op.residual:
            sums = {field: getattr(op.residual.parameters, name) for field, name in RESIDUAL_SCALARS.items()}
            command |= {"r_wide": int(op.residual.r.tensor.bits == 16), **sums}
        more = {}
        for field, name in {"channels": channels_name, "factors": factors_name}.items():
            buffer = self._buffers.get(name(op, *segment))
            if buffer:
                one = buffer.rows == 1  # for all tiles
                tiles = {"row": 0 if one else col // p.cols, "rows": 1 if one else -(-cols // p.cols)}
                shift = None if one else self._shift_of(op, part, -(-segment[1] // p.cols) * buffer.row_words)
                more[field] = Operand(buffer=buffer, **tiles, word=0, words=buffer.row_words, repeat=one, shift=shift)
        if op.table:
            more["table"] = self._table_operand(op)
        b = operands["b"]
        more["b"] = replace(b, spare=spare_words(b.words, p), shift=self._shift_of(op, part, part.b.rows * b.buffer.row_words))
        return Task(engine=Engine.COMPUTE, operator=op, command=command, operands={**operands, **more}, walk=walk)

    def _shift_of(self, op: ir.MatMul, part: ir.MatMulPart, words: int) -> Shift | None:
        """By the part's number of blocks of so many words; if it has one."""
        if op.shift is None:
            return None
        return self._shift(replace(op.shift, col=op.shift.col + op.parts.index(part), cols=1), words)

    def _shift(self, number: ir.Block, words: int) -> Shift:
        """By a number of blocks of so many words."""
        buffer = self._buffers[number.tensor.name]
        if self._staged(buffer):
            raise CompileError(f"{number.tensor} must stay in the scratchpad, where there is no room for it")
        word, element = divmod(number.col, self._p.word_bytes // 2)
        return Shift(buffer=buffer, word=number.row * buffer.row_words + word, element=element, words=words)

    def _table_operand(self, op: ir.MatMul | ir.LayerNorm | ir.Table) -> Operand:
        buffer = self._buffers[table_name(op)]
        return Operand(buffer=buffer, row=0, rows=buffer.rows, word=0, words=buffer.row_words)

    def _rows(self, block: ir.Block, row: int, rows: int) -> Operand:
        """Whole rows of a tensor, padding included."""
        buffer = self._buffers[block.tensor.name]
        return Operand(buffer=buffer, row=block.row + row, rows=rows, word=0, words=buffer.row_words)

    def _depth(self, op: ir.MatMul, part: ir.MatMulPart) -> tuple[int, bool]:
        """k of the command, and whether it runs over whole rows of a and b with their padding, where the groups of heads are padded."""
        a, b = self._layouts[part.a.tensor.name], self._layouts[part.b.tensor.name]
        split = a.group < part.a.cols or (op.b_transposed and not op.groups and b.group < part.b.cols)
        if not split:
            k = part.a.cols // (1 if op.planes else op.groups or 1)
            if op.groups > 1 and not op.planes and k % self._p.word_bytes and not self._p.reads_any_byte:
                raise CompileError(f"its groups of {k} along K must fill words of {self._p.word_bytes} bytes where rows is no power of two")
            return k, False
        whole = not op.groups and part.a.cols == part.a.tensor.cols == part.b.tensor.cols and a.group == b.group
        padded = part.b.tensor.data is not None or part.b.tensor.name in self._fetched
        if not (op.b_transposed and whole and padded):
            raise CompileError(f"the columns of {part.a} are kept in groups of {a.group} and {part.b} can't follow them")
        return a.used_words * self._p.word_bytes, True

    def _row_operator(self, op: ir.Operator) -> Iterator[Task]:
        assert isinstance(op, ir.RowOperator)
        operation = OPERATIONS[type(op)]
        p, q = self._p, op.parameters  # pyright: ignore[reportAttributeAccessIssue] - every row operator has parameters
        blocks = [op.a, op.out] + ([op.b] if isinstance(op, ir.Add) else [])
        segments = list(_segments(self._layouts, blocks))
        whole_row = isinstance(op, ir.Softmax | ir.LayerNorm)
        if whole_row and len(segments) > 1:
            raise CompileError("its rows are kept in groups of columns")
        if whole_row and op.a.cols > p.row_elements:
            raise CompileError(f"its rows have {op.a.cols} elements, but row_elements is {p.row_elements}")
        command = {
            **{field: int(getattr(q, name)) for field, name in VECTOR_SCALARS[operation].items()},
            **{"operation": operation, "a_wide": int(op.a.tensor.bits == 16), "out_wide": int(op.out.tensor.bits == 16)},
        }
        # a causal mask grows from row to row of its matrix: no task may go on in the next one
        matrix = op.parameters.rows if isinstance(op, ir.Softmax) and op.parameters.rows > 1 else op.a.rows
        for (first, count), top in product(segments, range(0, op.a.rows, matrix)):

            def make(row: int, rows: int, col: int, cols: int, first=first, top=top) -> Task:
                row, start = top + row, first + col
                operands = {name: self._rectangle(block, row, rows, start, cols) for name, block in (("a", op.a), ("out", op.out))}
                fields = {**command, "rows": rows, "cols": cols}
                if isinstance(op, ir.Softmax):
                    mask = op.parameters
                    fields |= {"length": min(mask.length + row % mask.rows, cols), "causal": int(mask.rows > 1)}
                    fields["importance"] = op.importance if row == 0 else min(op.importance, IMPORTANCE_ADDS)
                    if op.threshold is not None and rows < op.a.rows:
                        raise CompileError("its rows, of which one may set its flag, must fit one step")
                elif isinstance(op, ir.Add):
                    repeat = op.b.rows == 1
                    operands["b"] = self._rectangle(op.b, 0 if repeat else row, 1 if repeat else rows, start, cols, repeat=repeat)
                    fields["b_wide"] = int(op.b.tensor.bits == 16)
                elif isinstance(op, ir.LayerNorm | ir.Table):
                    operands["b"] = self._table_operand(op)
                    fields["b_wide"] = 1
                return Task(engine=Engine.VECTOR, operator=op, command=fields, operands=operands)

            yield from self._tiled(make, matrix, count, self._piece(make, matrix, count, MAX_ROWS, op.a, op.out), count, count)

    def _pick(self, op: ir.Pick) -> Iterator[Task]:
        self._require_pruning()
        cols, k = op.by.cols, op.out.cols
        labels, wide = self._rectangle(op.labels, 0, 1, 0, cols), int(op.labels.tensor.bits == 16)
        operands = {"a": labels} if op.importance else {"a": self._rectangle(op.by, 0, 1, 0, cols), "b": labels}
        command = {
            **{"operation": VectorOperation.TOPK, "rows": 1, "cols": cols, "length": k, "out_wide": wide},
            **({"a_wide": wide} if op.importance else {"a_wide": int(op.by.tensor.bits == 16), "b_wide": wide}),
            **{"importance": IMPORTANCE_ADDS * op.importance, "protected": op.protected},
        }
        operands["out"] = self._rectangle(op.out, 0, 1, 0, k)
        yield Task(engine=Engine.VECTOR, operator=op, command=command, operands=operands)

    def _fetch(self, op: ir.Fetch) -> Iterator[Task]:
        self._require_pruning()
        source = self._rectangle(op.source, 0, op.source.rows, 0, op.source.cols)
        operands, row_words = {"scratchpad": self._rectangle(op.out, 0, op.out.rows, 0, op.out.cols)}, source.buffer.row_words
        command = {"rows": op.out.rows, "words": source.words}
        if op.numbers:
            operands["numbers"] = self._rectangle(op.numbers, 0, 1, 0, op.numbers.cols)
            command["gathers"] = 1
        if op.shift:
            words = self._layouts[op.source.tensor.name].word(op.source.cols) if op.beside else op.source.rows * row_words
            source = replace(source, shift=self._shift(op.shift, words))
        yield Task(engine=Engine.LOAD, operator=op, command=command, operands=operands, source=source)

    def _gather(self, op: ir.Gather) -> Iterator[Task]:
        self._require_pruning()
        wide = int(op.out.tensor.bits == 16)
        command = {"operation": VectorOperation.GATHER, "rows": op.out.rows, "a_wide": wide, "b_wide": 1, "out_wide": wide}
        for first, count in _segments(self._layouts, [op.a, op.out]):

            def make(_row: int, _rows: int, col: int, cols: int, first=first) -> Task:
                operands = {
                    "a": self._rectangle(op.a, 0, op.a.rows, first + col, cols),
                    "b": self._rectangle(op.numbers, 0, 1, 0, op.numbers.cols),
                    "out": self._rectangle(op.out, 0, op.out.rows, first + col, cols),
                }
                return Task(engine=Engine.VECTOR, operator=op, command={**command, "cols": cols}, operands=operands)

            yield from self._tiled(make, 1, count, 1, count, self._p.word_bytes)

    def _require_pruning(self) -> None:
        if not self._p.pruning:
            raise CompileError("what prunes needs a machine with pruning")


def _segments(layouts: Mapping[str, Layout], blocks: list[ir.Block], more: Iterable[int] = ()) -> Iterator[tuple[int, int]]:
    """Runs of columns (first, count) that are contiguous in each of the blocks, and cut at ``more``."""
    cuts = {0, blocks[0].cols, *more}
    for block in blocks:
        group = layouts[block.tensor.name].group
        cuts |= {g - block.col for g in range(0, block.tensor.cols, group) if 0 < g - block.col < block.cols}
    return ((a, b - a) for a, b in pairwise(sorted(cuts)))


def _channel_segments(
    layouts: Mapping[str, Layout], op: ir.MatMul, part: ir.MatMulPart, parameters: MachineParameters
) -> Iterator[tuple[int, int]]:
    """Runs of output channels (first, count) that one command can compute."""
    results = [part.out, op.residual.r] if op.residual else [part.out]
    if by_channel(op, parameters):
        return _segments(layouts, [*results, part.a])
    cuts = (bundle.out_first for bundle in bundles(layouts, op, part)) if op.window else ()
    return _segments(layouts, results if op.b_transposed else [*results, part.b], cuts)


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


OPERATIONS = {
    ir.Add: VectorOperation.ADD,
    ir.Rescale: VectorOperation.RESCALE,
    ir.Softmax: VectorOperation.SOFTMAX,
    ir.Gelu: VectorOperation.GELU,
    ir.LayerNorm: VectorOperation.LAYERNORM,
    ir.Table: VectorOperation.TABLE,
}


def channels_name(op: ir.MatMul, first: int, count: int) -> str:
    return f"{op.name}.channels[{first}:{first + count}]"


def factors_name(op: ir.MatMul, first: int, count: int) -> str:
    return f"{op.name}.factors[{first}:{first + count}]"


def table_name(op: ir.MatMul | ir.LayerNorm | ir.Table) -> str:
    return f"{op.name}.table"


def operator_name(table: str) -> str:
    """The other way: of the operator that a buffer of channels, of factors or of a table belongs to."""
    return table.rpartition(".")[0]


def make_buffers(graph: ir.Graph, layouts: Mapping[str, Layout], parameters: MachineParameters) -> dict[str, Buffer]:
    """A buffer for each tensor, and for each table that an operator needs."""
    buffers = {name: layout.buffer() for name, layout in layouts.items()}
    for op in graph.operators:
        if isinstance(op, ir.MatMul):
            if in_groups(op):
                weights = grouped_weights(layouts, op, parameters)
                buffers[weights.name] = weights
            for part in op.parts:
                for first, count in _channel_segments(layouts, op, part, parameters):
                    for buffer in (_channels(op, first, count, parameters), *_factors(op, first, count, parameters)):
                        buffers[buffer.name] = buffer
            if op.table:
                buffers[table_name(op)] = _table(op, [op.table.entries], parameters, np.int8)
        elif isinstance(op, ir.LayerNorm):
            buffers[table_name(op)] = _table(op, [op.parameters.gamma, op.parameters.beta], parameters, np.int16)
        elif isinstance(op, ir.Table):
            buffers[table_name(op)] = _table(op, [op.parameters.entries], parameters, np.int16)
    return buffers


def _table(
    op: ir.MatMul | ir.LayerNorm | ir.Table, rows: Sequence[ArrayLike], parameters: MachineParameters, dtype: type[np.signedinteger]
) -> Buffer:
    """Rows of numbers, which the operator takes beside its inputs."""
    data = [np.asarray(row, dtype).tobytes() for row in rows]
    words = -(-len(data[0]) // parameters.word_bytes)
    padded = b"".join(row.ljust(words * parameters.word_bytes, b"\0") for row in data)
    return Buffer(name=table_name(op), rows=len(data), row_words=words, data=padded)


def _channels(op: ir.MatMul, first: int, count: int, parameters: MachineParameters) -> Buffer:
    """The requantization records of channels first to first + count - 1, tile by tile of cols channels; of channels that are all alike one
    tile. With shift, of those channels of each block, one after the other."""
    p, q, channels = parameters, op.parameters, op.parts[0].out.cols
    of_blocks = np.stack([q.bias, q.multiplier, q.shift], axis=1).reshape(-1, channels, 3)[:, first : first + count]
    if (of_blocks == of_blocks[0, 0]).all():
        of_blocks = np.tile(of_blocks[:1, :1], (1, p.cols, 1))
    tiles = list[bytes]()
    for block in of_blocks.tolist():
        records = [
            CHANNEL.pack(dict(zip(("bias", "multiplier", "shift"), channel, strict=True))).to_bytes(8, "little") for channel in block
        ]
        tiles += (b"".join(records[i : i + p.cols]).ljust(p.channel_words * p.word_bytes, b"\0") for i in range(0, len(records), p.cols))
    return Buffer(name=channels_name(op, first, count), rows=len(tiles), row_words=p.channel_words, data=b"".join(tiles))


def _factors(op: ir.MatMul, first: int, count: int, parameters: MachineParameters) -> Iterator[Buffer]:
    """The factors of channels first to first + count - 1, tile by tile of cols channels, group by group; if there are any. With shift, of
    those channels of each block, one after the other."""
    if op.parameters.factors is not None:
        p, channels = parameters, op.parts[0].out.cols
        factors = op.parameters.factors.reshape(op.groups, -1, channels)[:, :, first : first + count]
        factors = np.pad(factors, ((0, 0), (0, 0), (0, -count % p.cols))).reshape(op.groups, -1, p.cols)
        octets = np.zeros((factors.shape[1], op.groups, p.factor_words * p.word_bytes), np.uint8)
        octets[:, :, : p.cols] = factors.swapaxes(0, 1)
        yield Buffer(name=factors_name(op, first, count), rows=len(octets), row_words=op.groups * p.factor_words, data=octets.tobytes())
