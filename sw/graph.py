"""The integer graph between the importer and the compiler: 2-D tensors of signed integers, and operators on blocks of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..rtl.arch.activation import TABLE_ENTRIES
from ..rtl.arch.formats import Format
from ..rtl.arch.window import Window
from .golden.activation import ActivationParameters, ActivationTable
from .golden.add import AddParameters
from .golden.deform import Deformation
from .golden.layernorm import LayerNormParameters
from .golden.matmul import MatMulParameters
from .golden.multiply import MultiplyParameters
from .golden.softmax import SoftmaxParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A matrix of signed integers; an element q stands for the real number ``(q - zero_point) * scale``.

    bits: 8 or 16, or 4 of planes, or 2 or 4 of a constant. data: [rows, cols] of a constant, int16 or for fewer bits int8, else None. scale
    of a constant with one scale per channel or group: 1.0, since the scales are in its consumer's multipliers.
    """

    name: str
    rows: int
    cols: int
    bits: int
    scale: float
    zero_point: int
    data: NDArray[np.signedinteger] | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise ValueError(f"rows and cols must be at least 1, not {self.rows!r} and {self.cols!r}")
        if self.bits not in ((4, 8, 16) if self.data is None else (2, 4, 8, 16)):
            raise ValueError(f"bits must be 4, 8 or 16, or 2 of a constant, not {self.bits!r}")
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, not {self.scale!r}")
        if not self.format.min <= self.zero_point <= self.format.max:
            raise ValueError(f"zero_point must fit {self.bits} bits, not {self.zero_point!r}")
        if self.data is not None and (self.data.shape != (self.rows, self.cols) or self.data.dtype != self.dtype):
            raise ValueError(f"data must be {self.dtype} of shape {(self.rows, self.cols)}, not {self.data.dtype} {self.data.shape}")
        if self.data is not None and not self.format.min <= self.data.min() <= self.data.max() <= self.format.max:
            raise ValueError(f"data must fit {self.bits} bits, not {self.data.min()}..{self.data.max()}")

    @property
    def format(self) -> Format:
        return Format(self.bits)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"int{max(8, self.bits)}")

    @property
    def whole(self) -> "Block":
        return Block(tensor=self, row=0, col=0, rows=self.rows, cols=self.cols)

    def __str__(self) -> str:
        return f"{self.name}[{self.rows}x{self.cols} int{self.bits}]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A rectangle of a tensor: how heads, slices and splits are addressed without moving data."""

    tensor: Tensor
    row: int
    col: int
    rows: int
    cols: int

    def __post_init__(self) -> None:
        inside = 0 <= self.row < self.row + self.rows <= self.tensor.rows
        if not (inside and 0 <= self.col < self.col + self.cols <= self.tensor.cols):
            raise ValueError(f"block must lie inside of its tensor, not {self}")

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its tensor."""
        return (self.rows, self.cols) == (self.tensor.rows, self.tensor.cols)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the block in an array of its tensor's shape."""
        return slice(self.row, self.row + self.rows), slice(self.col, self.col + self.cols)

    def __str__(self) -> str:
        if self.is_whole:
            return str(self.tensor)
        rows, cols = self.slices
        return f"{self.tensor.name}[{rows.start}:{rows.stop}, {cols.start}:{cols.stop}]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """One task for one engine. name: unique in the graph. node: the ONNX node that it came from. when: the name of a Softmax, whose flag
    must be set for this to be done at all."""

    name: str
    node: str
    when: str = ""

    @property
    def inputs(self) -> tuple[Block, ...]:
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[Block, ...]:
        raise NotImplementedError

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return 0

    def __str__(self) -> str:
        out = self.outputs[0] if len(self.outputs) == 1 else self.outputs[0].tensor
        sources = self.inputs if len(self.outputs) == 1 else dict.fromkeys(b.tensor for b in self.inputs)
        count = f" in {len(self.outputs)} parts" if len(self.outputs) > 1 else ""
        when = f" when {self.when}" if self.when else ""
        return f"{out} = {type(self).__name__}({', '.join(map(str, sources))}){count}{when}  # {self.node}"


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMulPart:
    """One product: a [M, K]; b [K, N], or [N, K] if the operator is b_transposed; out [M, N]. a is int8, b too or of fewer bits."""

    a: Block
    b: Block
    out: Block


@dataclass(frozen=True, kw_only=True, eq=False)
class Residual:
    """What is added to the results of a product: ``add(result, r, parameters)``."""

    r: Block
    parameters: AddParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMul(Operator):
    """Products of one shape and one set of parameters: one part, or one for each head. Constant weights are stored [N, K].

    window: of a convolution. Each a is then a feature map, line by line, [height * width, C]; b is [N, K], K tap by
    tap, [kh, kw, C / groups].
    maximum: max pooling, the largest of a window in each channel; b is [C, kh * kw] ones.
    run: of a convolution each of whose windows makes so many pixels of a line, side by side, kept without gaps: b and the parameters are
    those of the channels of one pixel after the other. 0: each makes one pixel, which starts with a new word.
    pooled, repeated: of the results as a map of pixels the largest of each 2 x 2, in each channel; each pixel as 2 x 2.
    parameters: with factors of groups along K where b is [N, K], all columns of a tensor, and not of a convolution.
    table: what each result, -128..127, is replaced by. residual: what is then added to the results of the one part.
    planes: b's columns are planes of its bits, side by side, each with factors of its own; a is multiplied with each of them.
    halves: each element of b is read as two of 4 bits, the first one in its lower bits, so a has two columns for each.
    shift: a row with a number for each part, or None: of so many blocks like its b that lie above the one to multiply with, in constant
    weights. The parameters are those of the channels of all these blocks.
    """

    parts: tuple[MatMulPart, ...]
    b_transposed: bool
    parameters: MatMulParameters
    window: Window | None = None
    maximum: bool = False
    run: int = 0
    pooled: bool = False
    repeated: bool = False
    planes: bool = False
    halves: bool = False
    shift: Block | None = None
    table: ActivationTable | None = None
    residual: Residual | None = None

    def __post_init__(self) -> None:
        window = self.window
        if self.table:
            _check_table("table", self.table, Format(8))
        if self.residual:
            r, out = self.residual.r, self.parts[0].out
            if len(self.parts) > 1 or (r.rows, r.cols) != (out.rows, out.cols):
                raise ValueError(f"a residual must have the shape of the results of one part, not {r} of {len(self.parts)} like {out}")
        if self.maximum and not (window and all(part.a.cols == window.groups == part.out.cols for part in self.parts)):
            raise ValueError("a maximum must have a window, and as many groups as channels")
        changed = self.run or self.pooled or self.repeated
        if changed and (not window or self.maximum or self.residual or window.groups > 1 or (self.pooled and self.repeated)):
            raise ValueError("only results of a convolution without groups and residual are kept in runs, pooled or repeated")
        if self.pooled and window and (window.lines % 2 or window.columns * (self.run or 1) % 2):
            raise ValueError(f"what is pooled must have an even number of lines and columns, not {window.lines} and {window.columns}")
        if window and not self.b_transposed:
            raise ValueError("b must be b_transposed in a convolution")
        if self.shift and (self.shift.rows, self.shift.cols, self.shift.tensor.bits) != (1, len(self.parts), 16):
            raise ValueError(f"shift must be a row of 16 bits for each of {len(self.parts)} parts, not {self.shift}")
        if self.shift and (window or not self.b_transposed or any(part.b.tensor.data is None for part in self.parts)):
            raise ValueError("with shift b must be constant weights [N, K], not of a convolution")
        if self.groups and (window or not self.b_transposed):
            raise ValueError("factors must be those of b [N, K], not of a convolution")
        if self.halves and (window or self.groups or self.shift or not self.b_transposed):
            raise ValueError("only b [N, K] without factors is read in halves, not of a convolution")
        for part in self.parts:
            k, n = (part.b.cols, part.b.rows) if self.b_transposed else (part.b.rows, part.b.cols)
            rows, depth = part.a.rows, part.a.cols
            if self.planes:
                depth *= self.groups
            if self.halves:
                k *= 2
            if window:
                rows, depth = prod(self.map_size), window.taps * part.a.cols // window.groups
                n //= self.run or 1
            if (rows, depth, n) != (part.out.rows, k, part.out.cols):
                raise ValueError(f"a, b and out must have matching shapes, not {part.a}, {part.b} and {part.out}")
            if self.groups and (k % self.groups or part.b.cols != part.b.tensor.cols):
                raise ValueError(f"b must be all columns of its tensor, in {self.groups} groups, not {part.b}")
            if self.run and part.b.rows % self.run:
                raise ValueError(f"{part.b} must have rows for {self.run} pixels")
            if window and (part.a.cols % window.groups or n % window.groups):
                raise ValueError(f"the channels of {part.a} and {part.out} must make {window.groups} groups")
            if window and part.a.rows != window.height * window.width:
                raise ValueError(f"a must have {window.height} x {window.width} rows, not {part.a}")
            if part.a.tensor.bits != 8 or part.b.tensor.bits > 8:
                raise ValueError(f"a must be int8, and b no more, not {part.a} and {part.b}")
            if part.b.tensor.bits < 8 and not self.b_transposed:
                raise ValueError(f"b must be b_transposed where it has fewer than 8 bits, not {part.b}")

    @property
    def groups(self) -> int:
        """Of consecutive k, each with factors of its own; 0 without factors."""
        return 0 if self.parameters.factors is None else len(self.parameters.factors)

    @property
    def channels(self) -> int:
        """Columns that a row of a makes: those of out, or of a run of its pixels."""
        return self.parts[0].out.cols * (self.run or 1)

    @property
    def map_size(self) -> tuple[int, int]:
        """Lines and columns of the map of pixels that a convolution makes."""
        assert self.window
        lines, columns = self.window.lines, self.window.columns * (self.run or 1)
        return (lines // 2, columns // 2) if self.pooled else (2 * lines, 2 * columns) if self.repeated else (lines, columns)

    @property
    def macs(self) -> int:
        """Those with padding among them, but none with the zeros beside a kernel in a run."""
        window, rows = self.window, self.parts[0].out.rows
        used = Fraction(1)  # of b
        if window:
            rows = window.lines * window.columns
            beside = (self.run - 1) * window.strides[1] // self.run if self.run else 0
            used = Fraction(window.kernel[1] - beside, window.kernel[1])
        return int(sum(rows * part.b.rows * part.b.cols for part in self.parts) * used)

    @property
    def inputs(self) -> tuple[Block, ...]:
        operands = tuple(block for part in self.parts for block in (part.a, part.b))
        return operands + ((self.residual.r,) if self.residual else ()) + ((self.shift,) if self.shift else ())

    @property
    def outputs(self) -> tuple[Block, ...]:
        return tuple(part.out for part in self.parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class OneResult(Operator):
    """An operator that writes one block."""

    out: Block

    @property
    def outputs(self) -> tuple[Block, ...]:
        return (self.out,)


@dataclass(frozen=True, kw_only=True, eq=False)
class RowOperator(OneResult):
    """An operator that turns each row of ``a`` into a row of ``out``."""

    a: Block

    def __post_init__(self) -> None:
        if (self.a.rows, self.a.cols) != (self.out.rows, self.out.cols):
            raise ValueError(f"a and out must have one shape, not {self.a} and {self.out}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a,)


@dataclass(frozen=True, kw_only=True, eq=False)
class PairOperator(RowOperator):
    """A row operator that takes each element of ``a`` with the one of ``b`` at its place. A ``b`` of one row is taken with every row."""

    b: Block

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.b.cols != self.a.cols or self.b.rows not in (1, self.a.rows):
            raise ValueError(f"b must have the shape of a or one row, not {self.a} and {self.b}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a, self.b)


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(PairOperator):
    """a + b."""

    parameters: AddParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiply(PairOperator):
    """a * b, element by element."""

    parameters: MultiplyParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Rescale(RowOperator):
    """The same numbers at another scale or width; also ReLU and scaling by a constant."""

    parameters: AddParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Upsample(OneResult):
    """Of a map whose pixels are the rows of ``a``, lines of ``width`` pixels, each pixel as 2 x 2."""

    a: Block
    width: int

    def __post_init__(self) -> None:
        if self.a.rows % self.width or (self.out.rows, self.out.cols, self.out.tensor.bits) != (
            4 * self.a.rows,
            self.a.cols,
            self.a.tensor.bits,
        ):
            raise ValueError(f"out must have four pixels for each of a, in lines of {self.width}, not {self.a} and {self.out}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrange(OneResult):
    """Column j of ``out`` is column ``columns[j]`` of the ``sources``, side by side: tensors joined, their channels shuffled, or some of
    them taken. None is taken twice."""

    sources: tuple[Block, ...]
    columns: tuple[int, ...]

    def __post_init__(self) -> None:
        kinds = {(block.rows, block.tensor.bits, block.tensor.scale, block.tensor.zero_point) for block in (*self.sources, self.out)}
        if len(kinds) > 1:
            raise ValueError(f"sources must have the rows and the numbers of out, not {', '.join(map(str, self.sources))} and {self.out}")
        known, taken = sum(block.cols for block in self.sources), set(self.columns)
        if len(taken) != self.out.cols or len(self.columns) != self.out.cols or not 0 <= min(taken) <= max(taken) < known:
            raise ValueError(f"columns must be {self.out.cols} of {known}, each once, not {self.columns}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return self.sources


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(RowOperator):
    """Over the elements of each row that count: the first ``parameters.length``, and one more in each row after the first of a
    matrix of ``parameters.rows`` rows. Matrices lie one below the other.

    importance: 0; or IMPORTANCE_ADDS where the results are added to the importance of the tokens of their columns, IMPORTANCE_BEGINS where
    that begins anew with them. threshold: where there is one, the flag is set if in some row no result is as large, else cleared."""

    parameters: SoftmaxParameters
    importance: int = 0
    threshold: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parameters.length < 1 or self.parameters.rows < 1 or self.a.rows % self.parameters.rows:
            raise ValueError(f"length and rows must be at least 1, and {self.a} be made of matrices of {self.parameters.rows} rows")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pick(OneResult):
    """The elements of the row ``labels`` in the columns of the largest scores, in their order, as many as ``out`` has columns; of equal
    scores the first.

    by: rows of scores, each with a row of ``out``. Or, where ``importance``, what was last added to the importance of the tokens, with a
    column for each: that is then the score, those of the first ``protected`` tokens are larger than all, and what is not picked is
    forgotten.
    """

    by: Block
    labels: Block
    importance: bool = False
    protected: int = 0

    def __post_init__(self) -> None:
        if (self.labels.rows, self.labels.cols) != (1, self.by.cols):
            raise ValueError(f"labels must be a row of one for each of {self.by.cols} scores, not {self.labels} for {self.by}")
        rows = 1 if self.importance else self.by.rows
        if self.out.rows != rows or self.out.cols > self.by.cols or self.out.tensor.bits != self.labels.tensor.bits:
            raise ValueError(f"out must have {rows} rows, each of some of {self.labels}, not {self.out}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.by, self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Deform(OneResult):
    """A convolution of each channel of a feature map by itself, whose taps lie where offsets say. a: the map, line by line, [height *
    width, C]; b: constant weights, [C, taps]. offsets, masks: of each pixel of the result, where the deformation has them. moved: pixels
    by which the offsets differ from the network's, at most."""

    a: Block
    b: Block
    deformation: Deformation
    parameters: MatMulParameters
    offsets: Block | None = None
    masks: Block | None = None
    moved: float = 0.0

    def __post_init__(self) -> None:
        d = self.deformation
        results = self.a.cols * (d.taps if d.by_tap else 1)
        if (self.a.rows, self.out.rows, self.out.cols) != (d.height * d.width, d.lines * d.columns, results):
            raise ValueError(f"a and out must be maps of {d.height} x {d.width} and {d.lines} x {d.columns}, not {self.a} and {self.out}")
        if (self.b.rows, self.b.cols) != (self.a.cols, d.taps) or self.b.tensor.data is None or self.b.tensor.zero_point:
            raise ValueError(f"b must be constant weights around 0, {d.taps} of each channel, not {self.b}")
        if {self.a.tensor.bits, self.out.tensor.bits} != {8} or self.b.tensor.bits > 8:
            raise ValueError(f"a and out must be int8, and b no more, not {self.a}, {self.b} and {self.out}")
        for name, block, cols in (("offsets", self.offsets, d.offsets), ("masks", self.masks, d.taps if d.masked else 0)):
            if ((block.rows, block.cols) if block else (self.out.rows, 0)) != (self.out.rows, cols):
                raise ValueError(f"{name} must be {cols} for each of {self.out.rows} pixels, not {block}")

    @property
    def macs(self) -> int:
        return 0 if self.deformation.by_tap else self.out.rows * self.out.cols * self.deformation.taps

    @property
    def outputs(self) -> tuple[Block, ...]:
        """A block for each tap, or one."""
        return tuple(replace(self.out, col=col, cols=self.a.cols) for col in range(self.out.col, self.out.col + self.out.cols, self.a.cols))

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a, self.b, *(block for block in (self.offsets, self.masks) if block))


@dataclass(frozen=True, kw_only=True, eq=False)
class TopK(Operator):
    """The largest of all elements of ``a``, row after row, as many as each result has columns, in their order; of equal ones the first.

    values, rows, cols: rows of what they are, and of the numbers of their rows and columns in ``a``.
    """

    a: Block
    values: Block
    rows: Block
    cols: Block

    def __post_init__(self) -> None:
        shapes = {(block.rows, block.cols) for block in self.outputs}
        if shapes != {(1, self.values.cols)} or self.values.cols > self.a.rows * self.a.cols:
            raise ValueError(f"values, rows and cols must be rows of as many elements, no more than {self.a} has")
        if self.values.tensor.bits != self.a.tensor.bits or {self.rows.tensor.bits, self.cols.tensor.bits} != {16}:
            raise ValueError(f"values must have the format of {self.a}, rows and cols int16")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a,)

    @property
    def outputs(self) -> tuple[Block, ...]:
        return (self.values, self.rows, self.cols)


def numbers_of(count: int, name: str = "") -> Block:
    """0, 1, 2 and so on, as labels."""
    data = np.arange(count, dtype=np.int16)[None]
    return Tensor(name=name or f"numbers.{count}", rows=1, cols=count, bits=16, scale=1.0, zero_point=0, data=data).whole


@dataclass(frozen=True, kw_only=True, eq=False)
class Fetch(OneResult):
    """Rows of what stays in external memory: the first ones of ``source``, or those whose ``numbers`` are in a row.

    shift: a block of one number, or None: of so many blocks like ``source`` that lie before the one to fetch, side by side where
    ``beside``, else one below the other.
    """

    source: Block
    numbers: Block | None = None
    shift: Block | None = None
    beside: bool = False

    def __post_init__(self) -> None:
        rows = self.source.rows if self.numbers is None else self.numbers.cols
        if (self.out.rows, self.out.cols, self.out.tensor.bits) != (rows, self.source.cols, self.source.tensor.bits):
            raise ValueError(f"out must have {rows} rows like those of {self.source}, not {self.out}")
        for block in (self.numbers, self.shift):
            if block is not None and (block.rows, block.tensor.bits) != (1, 16):
                raise ValueError(f"numbers must be a row of 16 bits each, not {block}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.source, *(block for block in (self.numbers, self.shift) if block is not None))


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer(RowOperator):
    """The same tensor in another place: ``a`` in the scratchpad is stored to ``out`` in external memory where ``stores``, else the other
    way."""

    stores: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Gather(OneResult):
    """The rows of ``a`` whose numbers are in ``numbers``."""

    a: Block
    numbers: Block

    def __post_init__(self) -> None:
        if (self.numbers.rows, self.numbers.cols, self.a.cols) != (1, self.out.rows, self.out.cols):
            raise ValueError(f"out must have a row of a for each number, not {self.a}, {self.numbers} and {self.out}")
        if self.numbers.tensor.bits != 16 or self.a.tensor.bits != self.out.tensor.bits:
            raise ValueError(f"numbers must be int16, and out have the format of a, not {self.numbers} and {self.out}")

    @property
    def inputs(self) -> tuple[Block, ...]:
        return (self.a, self.numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gelu(RowOperator):
    """Exact (erf) GELU."""

    parameters: ActivationParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Table(RowOperator):
    """Any function of each element: an entry for each of the 256 numbers that an element of the int8 ``a`` can be."""

    parameters: ActivationTable

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.a.tensor.bits != 8:
            raise ValueError(f"a must be int8, not {self.a}")
        _check_table("parameters", self.parameters, self.out.tensor.format)


def _check_table(name: str, table: ActivationTable, limits: Format) -> None:
    if len(table.entries) != TABLE_ENTRIES or not limits.min <= min(table.entries) <= max(table.entries) <= limits.max:
        raise ValueError(f"{name} must have {TABLE_ENTRIES} entries in {limits.min}..{limits.max}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerNorm(RowOperator):
    """Over each row."""

    parameters: LayerNormParameters


@dataclass(frozen=True, kw_only=True, eq=False)
class Port:
    """How an ONNX value becomes a 2-D tensor or the other way.

    shape, dtype: of the ONNX value; float32 is quantized with scale and zero_point, an integer type holds the numbers themselves.
    scale, zero_point: of the signed tensor. permutation: [rows, cols], position in the flattened ONNX value of each element.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    tensor: Tensor
    scale: float
    zero_point: int
    permutation: NDArray[np.int64]

    def __str__(self) -> str:
        return f"{self.name}{list(self.shape)} {self.dtype}: {self.tensor}"


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphInput(Port):
    """An array that the user gives.

    planes: the tensor holds the high bits of all its rows, then the low ones (golden/planes.py). choices: of numbers that choose from so
    many rows of a table, from 0 on; 0 of others.
    """

    planes: bool = False
    choices: int = 0


class GraphOutput(Port):
    """An array that the user gets."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """Operators in an order in which they can run.

    tensors: by name. layers: for each tensor that an operator writes, the quantized ONNX value that it holds.
    """

    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    layers: Mapping[str, Port] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [operator.name for operator in self.operators]
        if len(set(names)) != len(names):
            raise ValueError("operator names must be unique")
        written = {t.name: np.full((t.rows, t.cols), t.data is not None) for t in self.tensors.values()}
        for port in self.inputs:
            written[port.tensor.name][:] = True
        for operator in self.operators:
            for block in operator.inputs:
                if not written[block.tensor.name][block.slices].all():
                    raise ValueError(f"operator {operator.name} must not read {block} before it is written")
            for block in operator.outputs:
                written[block.tensor.name][block.slices] = True
        for port in self.outputs:
            if not written[port.tensor.name].all():
                raise ValueError(f"output {port.name} must be written by an operator")

    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(op.macs for op in self.operators)

    def __str__(self) -> str:
        lines = [f"input {port}" for port in self.inputs]
        lines += [f"  {operator}" for operator in self.operators]
        return "\n".join([*lines, *(f"output {port}" for port in self.outputs)])
