"""Deformable convolutions: how they are cut into tasks of their engine."""

from collections.abc import Iterator, Mapping
from functools import partial

from ...rtl.arch.deform import ONE, Form
from ...rtl.arch.steps import ADDRESS_BITS, Engine
from .. import graph as ir
from .errors import CompileError
from .kernels import channel_words
from .operands import Operands
from .segments import segments
from .task import Operand, Task, Way

# Of a command as of a deformation.
_FIELDS = (
    *("height", "width", "lines", "columns", "y_start", "x_start", "dilation", "reach", "form", "fraction"),
    *("offset_zero_point", "offset_low", "offset_high", "masked", "mask_zero_point"),
)


class Deforms:
    """Makes the tasks of deformable convolutions from their ``operands``."""

    def __init__(self, operands: Operands) -> None:
        self._operands, self._p = operands, operands.parameters

    def of(self, op: ir.Deform) -> Iterator[Way]:
        """In lines of results; lines longer than the line buffer are cut, and then done one by one. Raises CompileError where the machine
        can't do it."""
        self._check(op)
        words = channel_words(self._operands.layouts, op, self._p)
        for columns in self._strips(op):
            for first, count in segments(self._operands.layouts, [op.a, *op.outputs]):
                # The taps of some channels are no rectangle, which what comes through the staging area must be.
                whole = op.deformation.by_tap and self._operands.staged(self._operands.buffers[op.out.tensor.name])
                if whole and count < op.a.cols:
                    raise CompileError("its channels are kept in groups, and its taps have no place in the scratchpad")

                def make(line: int, lines: int, col: int, cols: int, columns=columns, first=first) -> Task:
                    groups = [i for i, channels in enumerate(words) if first + col <= channels.start < first + col + cols]
                    return self._task(op, columns, range(line, line + lines), first + col, cols, groups)

                yield Way(
                    make=make,
                    rows=op.deformation.lines,
                    cols=count,
                    most_rows=op.deformation.lines if len(columns) == op.deformation.columns else 1,
                    most_cols=count,
                    col_step=count if whole else self._p.word_bytes,
                    alike=False,
                )

    def _check(self, op: ir.Deform) -> None:
        d, circuit = op.deformation, self._p.deform
        if circuit is None:
            raise CompileError(f"a deformable convolution needs a machine with deform_kernel {d.kernel}")
        if d.kernel != circuit.kernel:
            raise CompileError(f"its kernel of {d.kernel} x {d.kernel} needs deform_kernel {d.kernel}, not {circuit.kernel}")
        if d.form is Form.FREE and not circuit.free:
            raise CompileError("its taps have offsets of their own, which needs deform_free")
        if d.fraction and not circuit.bilinear:
            raise CompileError("its offsets are fractions of a pixel, which needs deform_bilinear, or --offset-round 0")
        if d.masked and not circuit.masked:
            raise CompileError("its taps have masks, which needs deform_masked")
        if op.deformation.reach > circuit.reach:
            least = f"deform_reach {op.deformation.reach}, or a lower --offset-bound: this machine's is {circuit.reach}"
            raise CompileError(f"its taps lie up to {d.farthest / ONE:g} pixels from the centre, which needs {least}")
        if op.b.tensor.bits > self._p.weight_bits:
            raise CompileError(f"its weights of {op.b.tensor.bits} bits need weight_bits {op.b.tensor.bits}")

    def _strips(self, op: ir.Deform) -> Iterator[range]:
        """Columns of results of which all that they read fits the line buffer."""
        d, circuit = op.deformation, self._p.deform
        assert circuit
        width = d.columns if d.width <= circuit.width else (circuit.width - 2 * op.deformation.reach - 1) // d.strides[1] + 1
        if width < 1:
            need = f"lines of {2 * op.deformation.reach + 1} pixels"
            raise CompileError(f"its map of {d.width} columns is wider than the line buffer's {circuit.width}, and to cut it needs {need}")
        return (range(column, min(column + width, d.columns)) for column in range(0, d.columns, width))

    def _task(self, op: ir.Deform, columns: range, lines: range, first: int, count: int, groups: list[int]) -> Task:
        """On some lines, and of these on some columns, and some channels."""
        d, q = op.deformation, op.parameters
        rows, pixels, part = d.reads(lines, columns)
        command = {
            **{name: int(getattr(part, name)) for name in _FIELDS},
            **{"groups": len(groups), "y_step": d.strides[0], "x_step": d.strides[1]},
            **{"by_tap": int(d.by_tap), "out_tap": self._tap_words(op)},
            **{"offset_wide": int(op.offsets is not None and op.offsets.tensor.bits == 16)},
            **{"a_zero_point": q.a_zero_point, "out_zero_point": q.out_zero_point, "low": q.low, "high": q.high},
        }
        buffer, start = self._operands.buffers[op.b.tensor.name], lines.start * d.columns + columns.start

        def of_results(block: ir.Block, first: int, count: int) -> Operand:
            return self._operands.rectangle(block, start, len(lines) * len(columns), first, count)

        operands = {
            "a": self._operands.rectangle(op.a, rows.start * d.width, len(rows) * d.width, first, count),
            "b": Operand(buffer=buffer, row=groups[0], rows=len(groups), word=0, words=buffer.row_words),
            "out": self._operands.rows(op.out, start, len(lines) * len(columns)) if d.by_tap else of_results(op.out, first, count),
        }
        layout = self._operands.layouts[op.out.tensor.name]
        before = layout.word(op.out.col + first) - layout.word(op.out.col) if d.by_tap else 0
        walks = {
            "a": partial(_walk, "a", "pixel", d.width, pixels.start),
            "out": partial(_walk, "out", "pixel", d.columns, 0, words=before),
        }
        for name, block in (("offsets", op.offsets), ("masks", op.masks)):
            if block:
                operands[name] = of_results(block, 0, block.cols)
                walks[name] = partial(_walk, name, "stride", d.columns, 0)
        return Task(engine=Engine.DEFORM, operator=op, command=command, operands=operands, walks=walks)

    def _tap_words(self, op: ir.Deform) -> int:
        """From a tap's results to the next one's."""
        layout = self._operands.layouts[op.out.tensor.name]
        return layout.word(op.outputs[1].col) - layout.word(op.outputs[0].col) if op.deformation.by_tap else 0


def _walk(name: str, pixel: str, columns: int, first: int, address: int, stride: int, *, words: int = 0) -> Mapping[str, int]:
    """The fields for a matrix of pixels, lines of so many ``columns``, from the ``first`` one of each on, and of it from some word on."""
    return {name: (address + first * stride + words) % (1 << ADDRESS_BITS), f"{name}_{pixel}": stride, f"{name}_line": columns * stride}
