"""How tensors and tables lie in memory: rows of scratchpad words.

Columns may be kept in groups (the heads of an attention layer): each group starts with a new word, so that an engine can
address it. Padding holds the zero point, which stands for zero. Where the compute unit reads some rows of b at once, such a matrix has an
odd number of words a row, so that these rows lie in different banks.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import reduce
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..golden.narrow import to_narrow
from .packing import packed_lines


@dataclass(frozen=True, kw_only=True, eq=False)
class Buffer:
    """A matrix of scratchpad words: ``rows`` rows of ``row_words`` words. data: bytes of a constant, row by row, else None."""

    name: str
    rows: int
    row_words: int
    data: bytes | None = None

    @property
    def words(self) -> int:
        return self.rows * self.row_words


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where each element of a tensor lies in its buffer.

    group: columns of a group, a divisor of the tensor's columns. bits: that an element takes, the tensor's or 8. line: rows that make one
    row of the buffer, with no gap between them; more than one only where all columns are one group. spare: words at the end of a row.
    """

    tensor: ir.Tensor
    group: int
    word_bytes: int
    bits: int
    line: int = 1
    spare: int = 0

    @property
    def word_elements(self) -> int:
        return 8 * self.word_bytes // self.bits

    @property
    def rows(self) -> int:
        """Of the buffer."""
        return self.tensor.rows // self.line

    @property
    def group_words(self) -> int:
        return -(-self.line * self.group // self.word_elements)

    @property
    def used_words(self) -> int:
        """Of a row."""
        return self.tensor.cols // self.group * self.group_words

    @property
    def row_words(self) -> int:
        return self.used_words + self.spare

    def word(self, col: int) -> int:
        """The word of a row at which column ``col``, the first of a word, lies."""
        group, within = divmod(col, self.group)
        word, rest = divmod(within, self.word_elements)
        if rest:
            raise ValueError(f"column {col} of {self.tensor.name} does not start a word")
        return group * self.group_words + word

    def pack(self, values: NDArray) -> bytes:
        """The buffer's bytes of the tensor's values, [rows, cols]."""
        t = self.tensor
        dense = np.asarray(values, t.dtype).reshape(self.rows, t.cols // self.group, self.line * self.group)
        padded = np.full((*dense.shape[:2], self.group_words * self.word_elements), t.zero_point, t.dtype)
        padded[:, :, : dense.shape[2]] = dense
        return self.octets(padded.reshape(self.rows, -1), self.spare)

    def octets(self, rows: NDArray, spare: int) -> bytes:
        """Of rows of elements that fill whole words, and of ``spare`` words behind each row."""
        values = np.pad(rows, ((0, 0), (0, spare * self.word_elements)), constant_values=self.tensor.zero_point)
        return values.tobytes() if self.bits >= 8 else to_narrow(values, self.bits).astype(np.uint8).tobytes()

    def unpack(self, data: bytes) -> NDArray:
        """The tensor's values, [rows, cols], from the buffer's bytes."""
        t = self.tensor
        used = np.frombuffer(data, t.dtype).reshape(self.rows, -1)[:, : self.used_words * self.word_elements]
        groups = used.reshape(self.rows, t.cols // self.group, -1)
        return groups[:, :, : self.line * self.group].reshape(t.rows, t.cols)

    def buffer(self) -> Buffer:
        data = None if self.tensor.data is None else self.pack(self.tensor.data)
        return Buffer(name=self.tensor.name, rows=self.rows, row_words=self.row_words, data=data)


def spare_words(words: int, parameters: MachineParameters) -> int:
    """That a row of b of so many words is to be followed by."""
    return int(parameters.b_words > 1 and words % 2 == 0)


def choose_layouts(graph: ir.Graph, parameters: MachineParameters) -> dict[str, Layout]:
    """A layout for each tensor: grouped where some operator addresses columns that would not start a word otherwise.

    A constant that is multiplied along the columns of a grouped activation takes the same groups.
    """
    word_bytes = parameters.word_bytes
    lines = {**_lines(graph, word_bytes), **packed_lines(graph)} if parameters.reads_any_byte else {}
    groups, in_taps = {t.name: t.cols for t in graph.tensors.values()}, set[str]()
    for operator in graph.operators:
        single = operator.shift if isinstance(operator, ir.Fetch) else None  # a number that starts no word
        for block in (*operator.inputs, *operator.outputs):
            t = block.tensor
            if block is single:
                continue
            group = reduce(gcd, (groups[t.name], block.col, block.cols))
            starts, stops = (n * t.bits % (8 * word_bytes) == 0 for n in (block.col, block.cols))
            if not starts or (block.col + block.cols < t.cols and not stops):
                groups[t.name] = group
        if isinstance(operator, ir.MatMul) and (operator.window or operator.groups):
            for part in operator.parts:  # each tap starts with a new word
                weights = part.b.tensor.name
                groups[weights] = gcd(groups[weights], _tap_columns(operator, part, lines))
                in_taps.add(weights)
    changed = True
    while changed:  # groups spread from an activation to the operands that are used column by column with it
        changed = False
        for operator in graph.operators:
            for a, b in _aligned_columns(operator):
                group = gcd(groups[a.name], groups[b.name])
                for t in (a, b):
                    if groups[t.name] != group:
                        groups[t.name], changed = group, True

    stationary = {part.b.tensor.name for op in graph.operators if isinstance(op, ir.MatMul) for part in op.parts}

    def layout(t: ir.Tensor) -> Layout:
        whole = groups[t.name] == t.cols or t.name in in_taps  # else its groups start words as those of an activation do
        bits = t.bits if whole else max(8, t.bits)
        dense = Layout(tensor=t, group=groups[t.name], word_bytes=word_bytes, bits=bits, line=lines.get(t.name, 1))
        return replace(dense, spare=spare_words(dense.used_words, parameters)) if t.name in stationary else dense

    return {t.name: layout(t) for t in graph.tensors.values()}


def _tap_columns(op: ir.MatMul, part: ir.MatMulPart, lines: Container[str]) -> int:
    """Columns of b in a tap: of a window, or a group along K that has factors of its own."""
    if not op.window:
        return part.b.cols // op.groups
    pixels = op.window.kernel[1] if part.a.tensor.name in lines else 1
    return pixels * part.a.cols // op.window.groups


def _lines(graph: ir.Graph, word_bytes: int) -> dict[str, int]:
    """Pixels of a line of the feature maps that are kept without gaps, by the tensor's name: inputs of which all readers are convolutions
    that take a line of a window as one run of bytes, in fewer words than pixel by pixel."""
    written = {block.tensor.name for operator in graph.operators for block in operator.outputs}
    lines: dict[str, int] = {}
    for port in graph.inputs:
        readings = [(op, block) for op in graph.operators for block in op.inputs if block.tensor is port.tensor]
        widths = {_line_of_runs(op, block, word_bytes) for op, block in readings}
        if len(widths) == 1 and max(widths) > 1 and port.tensor.name not in written:
            lines[port.tensor.name] = widths.pop()
    return lines


def _line_of_runs(op: ir.Operator, block: ir.Block, word_bytes: int) -> int:
    """Pixels of a line of the map of which the operator takes whole lines of a window, in fewer words so; 1 if it doesn't."""
    if not isinstance(op, ir.MatMul) or op.maximum or (op.residual and op.residual.r.tensor is block.tensor):
        return 1
    window, cols = op.window, block.cols
    if window is None or cols != block.tensor.cols or window.groups > 1 or not window.contiguous:
        return 1
    pixels = window.kernel[1]
    return window.width if -(-pixels * cols // word_bytes) < pixels * -(-cols // word_bytes) else 1


def _aligned_columns(operator: ir.Operator) -> list[tuple[ir.Tensor, ir.Tensor]]:
    """Pairs of tensors of which whole rows are walked together."""
    match operator:
        case ir.MatMul() if operator.b_transposed and not operator.window and not operator.groups:
            return [(part.a.tensor, part.b.tensor) for part in operator.parts if part.a.tensor.cols == part.a.cols == part.b.tensor.cols]
        case ir.MatMul() if not operator.b_transposed:
            return [
                (part.b.tensor, part.out.tensor) for part in operator.parts if part.b.tensor.cols == part.b.cols == part.out.tensor.cols
            ]
        case ir.Table() | ir.Rescale() | ir.Gelu() if operator.a.tensor.cols == operator.a.cols == operator.out.tensor.cols:
            return [(operator.a.tensor, operator.out.tensor)]
        case _:
            return []
