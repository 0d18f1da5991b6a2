"""Products and convolutions: how they are cut into tasks of the compute units."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from ...rtl.arch.formats import narrowness
from ...rtl.arch.steps import RESIDUAL_SCALARS, Engine, place_bits
from ...rtl.arch.window import matrix_walk
from .. import graph as ir
from .buffers import channels_name, factors_name
from .errors import CompileError
from .groups import bundles, by_channel, pixels_of_tap
from .layout import spare_words
from .operands import Operands
from .segments import channel_segments
from .task import MakeTask, Operand, Shift, Task, Way


class Products:
    """Makes the tasks of products from their ``operands``."""

    def __init__(self, operands: Operands) -> None:
        self._operands, self._p = operands, operands.parameters

    def of(self, op: ir.MatMul) -> Iterator[Way]:
        """Raises CompileError where the machine can't do it."""
        p = self._p
        if op.shift:
            self._operands.require_pruning()
        if op.maximum and not by_channel(op, p):
            raise CompileError("max pooling needs an array of as many rows as columns, with depthwise_taps")
        if op.pooled and not op.run:
            raise CompileError("its results can be pooled only in a map that is kept without gaps")
        if op.repeated and not op.run and op.window and op.window.columns > p.accumulator_depth:
            raise CompileError(
                f"its lines of {op.window.columns} pixels are repeated whole, but accumulator_depth is {p.accumulator_depth}"
            )
        for part in op.parts:
            bits = self._bits(op, part)
            if bits > p.weight_bits:
                raise CompileError(f"{part.b} is kept in elements of {bits} bits, but weight_bits is {p.weight_bits}")
            if op.groups and not p.factor_bits:
                raise CompileError(f"{part.b} has scales of groups along K, but factor_bits is {p.factor_bits}")
            for first, count in channel_segments(self._operands.layouts, op, part, p):
                way = self._in_runs if op.run else self._convolution if op.window else self._matmul
                yield from way(op, part, first, count)

    def _matmul(self, op: ir.MatMul, part: ir.MatMulPart, first: int, count: int) -> Iterator[Way]:
        k, whole = self._depth(op, part)

        def make(row: int, rows: int, col: int, cols: int) -> Task:
            n = first + col
            if whole:
                a, b = (self._operands.rows(block, r, c) for block, r, c in ((part.a, row, rows), (part.b, n, cols)))
            else:
                a = self._operands.rectangle(part.a, row, rows, 0, part.a.cols)
                if op.groups:
                    b = self._operands.rows(part.b, n, cols)
                elif op.b_transposed:
                    b = self._operands.rectangle(part.b, n, cols, 0, part.b.cols)
                else:
                    b = self._operands.rectangle(part.b, 0, part.b.rows, n, cols)
            operands = {"a": a, "b": b, **self._results(op, part, row, rows, n, cols)}
            walk = partial(matrix_walk, rows=rows, k=k, word_bytes=self._p.word_bytes, taps=op.groups or 1, again=op.planes)
            return self._compute(op, part, {"n": cols}, operands, (first, count), col, walk)

        most_cols = self._operands.pieces.most_cols(count, part.b, part.out)
        in_rows = [part.out] if most_cols < count else [part.a, part.out]
        most_rows = self._operands.piece(make, part.a.rows, count, self._p.accumulator_depth, *in_rows)
        yield self._way(make, part.a.rows, count, most_rows, most_cols)

    def _convolution(self, op: ir.MatMul, part: ir.MatMulPart, first: int, count: int) -> Iterator[Way]:
        """In lines of windows; lines longer than the accumulators are cut."""
        window, depth, copies = op.window, self._p.accumulator_depth, 4 if op.repeated else 1
        assert window
        for column in range(0, window.columns, depth):
            columns = min(depth, window.columns - column)

            def make(line: int, lines: int, col: int, cols: int, column=column, columns=columns) -> Task:
                n, read = first + col, window.lines_read(line, lines)
                start, outputs = line * window.columns + column, (lines - 1) * window.columns + columns
                a, map_walk = self._feature_map(op, part, read, n, cols)
                results = self._results(op, part, copies * start, copies * outputs, n, cols)
                operands = {"a": a, "b": self._operands.rows(part.b, n, cols), **results}
                fields = {"m": columns, "lines": lines, "n": cols, "repeated": int(op.repeated)}
                walk = partial(map_walk, line=line, column=column, top=read.start, height=len(read))
                return self._compute(op, part, fields, operands, (first, count), col, walk)

            most_lines = max(1, depth // columns) if columns == window.columns else 1
            yield replace(self._way(make, window.lines, count, most_lines, count), alike=False)

    def _in_runs(self, op: ir.MatMul, part: ir.MatMulPart, first: int, count: int) -> Iterator[Way]:
        """Whole lines of windows to whole lines of a map that is kept without gaps."""
        window, height, p = op.window, 1 + op.pooled, self._p  # height: in lines of windows, of what a row of the way is
        assert window

        def make(row: int, rows: int, col: int, cols: int) -> Task:
            line, lines, copies = row * height, rows * height, 1 + op.repeated
            read = window.lines_read(line, lines)
            a, map_walk = self._feature_map(op, part, read, col, cols)
            out = self._operands.rows(part.out, copies * row, copies * rows)
            operands = {"a": a, "b": self._operands.rows(part.b, first, cols), "out": out}
            flags = {"packed": 1, "pooled": int(op.pooled), "repeated": int(op.repeated)}
            walk = partial(map_walk, line=line, top=read.start, height=len(read))
            fields = {"m": window.columns, "lines": lines, "n": cols, **flags}
            return self._compute(op, part, fields, operands, (first, count), col, walk)

        most_rows = p.accumulator_depth // (height * window.columns)
        yield replace(self._way(make, window.lines // height, count, most_rows, count), alike=False)

    def _way(self, make: MakeTask, rows: int, cols: int, most_rows: int, most_cols: int) -> Way:
        step = max(self._p.cols, self._p.word_bytes)  # tiles of columns start at multiples of it
        return Way(make=make, rows=rows, cols=cols, most_rows=most_rows, most_cols=most_cols, col_step=step)

    def _results(self, op: ir.MatMul, part: ir.MatMulPart, row: int, rows: int, n: int, cols: int) -> Mapping[str, Operand]:
        """Where results lie, and what is added to them."""
        blocks = {"out": part.out} | ({"r": op.residual.r} if op.residual else {})
        return {name: self._operands.rectangle(block, row, rows, n, cols) for name, block in blocks.items()}

    def _feature_map(
        self, op: ir.MatMul, part: ir.MatMulPart, lines: range, n: int, cols: int
    ) -> tuple[Operand, Callable[..., Mapping[str, int]]]:
        """What output channels n to n + cols - 1 need of ``lines`` of the map, and what makes the fields for its windows."""
        window, layout, bits = op.window, self._operands.layouts[part.a.tensor.name], place_bits(self._p.rows)
        assert window
        if op.run or layout.line > 1:  # kept without gaps, if only a pixel a line
            pixel = part.a.cols

            def walk_runs(address: int, stride: int, **place: int) -> Mapping[str, int]:
                return {**window.walk(address, stride, pixel, **place), **window.run, "k": window.kernel[1] * pixel}

            return self._operands.rows(part.a, lines.start, len(lines)), walk_runs

        if by_channel(op, self._p):
            channels = range(n, n + cols)
        else:
            bundle = next(b for b in bundles(self._operands.layouts, op, part) if b.out_first <= n < b.out_first + b.out_count)
            channels = range(bundle.first, bundle.first + bundle.count)

        def walk(address: int, stride: int, **place: int) -> Mapping[str, int]:
            pixel = stride << bits
            fields = {**window.walk(address, window.width * stride, pixel, **place), "k": len(channels)}
            return {**fields, **window.depthwise(pixel, pixels_of_tap(op))} if by_channel(op, self._p) else fields

        return self._operands.rectangle(part.a, lines.start * window.width, len(lines) * window.width, channels.start, len(channels)), walk

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
            **{"b_narrow": narrowness(self._bits(op, part)), "b_factored": int(op.groups > 0)},
        }
        if op.residual:
            sums = {field: getattr(op.residual.parameters, name) for field, name in RESIDUAL_SCALARS.items()}
            command |= {"r_wide": int(op.residual.r.tensor.bits == 16), **sums}
        more = {}
        for field, name in {"channels": channels_name, "factors": factors_name}.items():
            buffer = self._operands.buffers.get(name(op, *segment))
            if buffer:
                one = buffer.rows == 1  # for all tiles
                row, rows = (0, 1) if one else (col // p.cols, -(-cols // p.cols))
                shift = None if one else self._shift_of(op, part, -(-segment[1] // p.cols) * buffer.row_words)
                more[field] = Operand(buffer=buffer, row=row, rows=rows, word=0, words=buffer.row_words, repeat=one, shift=shift)
        if op.table:
            more["table"] = self._operands.table(op)
        b = operands["b"]
        more["b"] = replace(b, spare=spare_words(b.words, p), shift=self._shift_of(op, part, part.b.rows * b.buffer.row_words))
        return Task(engine=Engine.COMPUTE, operator=op, command=command, operands={**operands, **more}, walks={"a": walk} if walk else {})

    def _bits(self, op: ir.MatMul, part: ir.MatMulPart) -> int:
        """Of what is multiplied."""
        return 4 if op.halves else self._operands.layouts[part.b.tensor.name].bits

    def _shift_of(self, op: ir.MatMul, part: ir.MatMulPart, words: int) -> Shift | None:
        """By the part's number of blocks of so many words; if it has one."""
        if op.shift is None:
            return None
        return self._operands.shift(replace(op.shift, col=op.shift.col + op.parts.index(part), cols=1), words)

    def _depth(self, op: ir.MatMul, part: ir.MatMulPart) -> tuple[int, bool]:
        """k of the command, and whether it runs over whole rows of a and b with their padding, where the groups of heads are padded."""
        a, b = self._operands.layouts[part.a.tensor.name], self._operands.layouts[part.b.tensor.name]
        split = a.group < part.a.cols or (op.b_transposed and not op.groups and b.group < part.b.cols)
        if not split:
            k = part.a.cols // (1 if op.planes else op.groups or 1)
            if op.groups > 1 and not op.planes and k % self._p.word_bytes and not self._p.reads_any_byte:
                raise CompileError(f"its groups of {k} along K must fill words of {self._p.word_bytes} bytes where rows is no power of two")
            return k, False
        whole = not op.groups and part.a.cols == part.a.tensor.cols == part.b.tensor.cols and a.group == b.group
        padded = part.b.tensor.data is not None or part.b.tensor.name in self._operands.fetched
        if not (op.b_transposed and whole and padded):
            raise CompileError(f"the columns of {part.a} are kept in groups of {a.group} and {part.b} can't follow them")
        return a.used_words * self._p.word_bytes, True
