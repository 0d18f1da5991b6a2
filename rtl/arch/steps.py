"""The program: a list of steps, each a command for one engine and the steps that it waits for.

A step is 128 bytes, little-endian: the header, then the command of its engine. An engine runs its steps in program order, or
each of its units those that name it; a step starts when every engine has completed as many steps of this run as the step's ``wait_*``
fields say, in their order. Where the machine has `pruning` a step with ``when`` starts only if that flag is set, and is complete without
having started if it isn't.

Scratchpad addresses and strides are in words, external ones in bytes relative to the driver's buffer. A matrix is stored
row by row; a row starts at a word; elements of 8 or 16 bits are little-endian. ``*_wide`` marks 16-bit elements.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from .blocks import ADD, ADD_LEFT_BITS
from .parameters import MachineParameters
from .pim import MACRO, Macro
from .record import Field, Record

STEP_BITS = 1024
STEP_BYTES = STEP_BITS // 8
ADDRESS_BITS = 24
STRIDE_BITS = 16
COUNT_BITS = 16
WAIT_BITS = 16
FLAG_BITS = 4  # of the number of a flag: 0 is none
FLAGS = (1 << FLAG_BITS) - 1
UNIT_BITS = 4  # of the number of an engine's unit
TAP_BITS = 8  # of a kernel's size, its steps and dilations
SHORT_BITS = 5  # of a distance within the reach of a deformable kernel
LINE_BITS = 17  # of a line's number, which may lie outside of the feature map
PLACE_BITS = 21  # of a place in a line, which may lie outside
OUTSIDE = -256  # of a maximum, less than any byte less its zero point


class Engine(enum.IntEnum):
    LOAD = 0
    STORE = 1
    COMPUTE = 2
    VECTOR = 3
    PIM = 4
    DEFORM = 5


class VectorOperation(enum.IntEnum):
    ADD = 0
    RESCALE = 1
    SOFTMAX = 2
    GELU = 3
    LAYERNORM = 4
    TABLE = 5
    TOPK = 6
    GATHER = 7
    MULTIPLY = 8


OF_TRANSFORMERS = VectorOperation.SOFTMAX, VectorOperation.GELU, VectorOperation.LAYERNORM
OF_PRUNING = VectorOperation.TOPK, VectorOperation.GATHER


def vector_operations(p: MachineParameters) -> frozenset[VectorOperation]:
    """That the vector engine of a machine does."""
    return frozenset(VectorOperation) - (set() if p.transformer else {*OF_TRANSFORMERS}) - (set() if p.pruning else {*OF_PRUNING})


def _address(name: str) -> tuple[Field, Field]:
    return Field(name, ADDRESS_BITS), Field(f"{name}_stride", STRIDE_BITS)


def _counts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, COUNT_BITS) for name in names)


WAITS = tuple(f"wait_{e.name.lower()}" for e in Engine)
HEADER = Record(
    "header",
    (
        *(Field("engine", 8), Field("when", FLAG_BITS), Field("unit", UNIT_BITS), Field("reserved", 24 - FLAG_BITS - UNIT_BITS)),
        *(Field(wait, WAIT_BITS) for wait in WAITS),
    ),
)

# rows x words scratchpad words; row r lies at external + r * external_stride and scratchpad + r * scratchpad_stride.
TRANSFER = Record(
    "transfer",
    (Field("external", 32), Field("external_stride", 32), *_address("scratchpad"), *_counts("rows", "words")),
)

# What a step reads may lie in a link (rtl/arch/links.py). As the last word is read, ``scratchpad_frees`` words of the link become free; and
# so with ``a_frees`` of the steps below. Of a product that reads no word of a map, only places outside, none does, and no a of GATHER may
# lie in a link.
STORE = Record("store", (*TRANSFER.fields, *_counts("scratchpad_frees")))

# As TRANSFER, but where ``gathers`` row r lies at external + numbers[r] * external_stride: numbers of 16 bits, unsigned, side by side from
# the word ``numbers`` on. And where ``shifted`` all of it lies shift[shift_element] * shift_stride bytes further on: the number at that
# place of the word ``shift``. So index lists that the machine made say what is fetched.
LOAD = Record(
    "load",
    (
        *TRANSFER.fields,
        *(Field(name, ADDRESS_BITS) for name in ("numbers", "shift")),
        Field("shift_stride", 32),
        Field("shift_element", 5),
        *(Field(name, 1) for name in ("gathers", "shifted")),
    ),
)

# out[m, n] = requantize(sum over k of (a[m, k] - a_zero_point) * (b[k, n] - b_zero_point)); b is stored [n, k] when
# b_transposed, else [k, n]. Channel parameters (CHANNEL) of each tile of cols channels follow each other, `channels_stride` words apart.
#
# The rows of a are windows of a feature map: ``lines`` lines of m windows, each of taps_y * taps_x taps of k bytes. Window (i, j)'s
# tap (p, q) starts at place x = x_start + (skip_first + j * (skip + 1)) * x_step + q * x_tap of the map's line
# y = y_start + i * y_step + p * y_tap, whose place 0 is the word a + i * a_line + p * a_tap_y. A place is a byte of a line in words of
# 2**place_bits(rows) bytes, of which only ``rows`` exist: where rows is no power of two every tap must start with a word. Bytes outside
# of 0 <= x < width and 0 <= y < height count as a_zero_point. A matrix is a map of m = 1 that never moves along x. In b each tap starts
# with a new word (transposed), or with the row behind whole tiles of the one before.
#
# b_narrow: 0, 1 or 2 for elements of b of 8, 4 or 2 bits, the first one in the lowest bits (transposed only). Neither elements nor
# b_zero_point may need more than the machine's weight_bits.
#
# b_factored (where the machine has factor_bits): the sum over each tap is multiplied with a factor of its channel, an unsigned byte. Those
# of a tap and a tile of cols channels take whole words (factor_words), from word ``factors`` on: tap after tap, then tile after tile.
#
# depthwise (for square arrays, k <= DEPTHWISE_TAPS): result n comes from channel n of the map alone, its byte n % rows in the n // rows-th
# word of a pixel. The bytes of a tap are then not k channels, but k pixels: byte r lies r * x_step before the word at x. With maximum the
# sums of the taps are not added up: the result is the largest of them, with bytes outside of the map counted as OUTSIDE.
#
# tabulated: what is written for a result in -128..127 is the result-th of the TABLE_ENTRIES bytes from word ``table`` on, the first of
# them for -128; of other results the lowest 8 bits count.
#
# residual (where the machine has it): what is written is the sum of the result, looked up where ``tabulated``, and of the element at its
# place in the matrix ``r``, as VectorOperation.ADD makes it of the parameters sum_* (RESIDUAL_SCALARS).
#
# packed (where the machine has packing, with n = cols): the m rows of a line lie side by side in its words, without a gap, and a line
# ``out_stride`` words behind the one before; those of r alike. pooled: the results are a map of lines * (m * n) pixels, and the largest one
# of each 2 x 2 of them is written; lines and cols are even. repeated: each of its pixels is written as 2 x 2: twice, side by side, to two
# lines. Both with 8-bit results without a residual, and one of them alone.
#
# repeated, but not packed: each row of results is written four times, as a pixel's 2 x 2: pixels are ``out_stride`` words apart, lines
# of them ``out_line`` words. With 8-bit results without a residual.
#
# The step starts to load b and r while others still write a: it reads a when every engine has completed as many steps as ``a_wait_*``
# say. Where a_follows, no compute step need be complete: when the i-th tile along K is read, the first i + 1 - a_ahead tiles of cols
# channels of the unit's step before this one are written.
COMPUTE = Record(
    "compute",
    (
        Field("a", ADDRESS_BITS),
        *(Field(f"a_{name}", STRIDE_BITS) for name in ("line", "tap_y")),
        *_address("b"),
        *_address("channels"),
        Field("table", ADDRESS_BITS),
        Field("factors", ADDRESS_BITS),
        *_address("r"),
        *_address("out"),
        Field("out_line", STRIDE_BITS),
        *_counts("m", "n", "k", "lines", "height"),
        Field("width", PLACE_BITS - 1),
        *(Field(f"taps_{axis}", TAP_BITS) for axis in "xy"),
        Field("x_start", PLACE_BITS, signed=True),
        Field("y_start", LINE_BITS, signed=True),
        *(Field(f"x_{name}", STRIDE_BITS) for name in ("step", "tap")),
        *(Field(f"y_{name}", TAP_BITS) for name in ("step", "tap")),
        *(Field(name, TAP_BITS) for name in ("skip_first", "skip")),
        *(Field(name, 1) for name in ("depthwise", "maximum")),
        Field("a_zero_point", 8, signed=True),
        Field("b_zero_point", 8, signed=True),
        Field("out_zero_point", 16, signed=True),
        Field("low", 16, signed=True),
        Field("high", 16, signed=True),
        Field("b_transposed", 1),
        Field("b_narrow", 2),
        Field("b_factored", 1),
        Field("tabulated", 1),
        Field("residual", 1),
        *(Field(name, 1) for name in ("packed", "pooled", "repeated")),
        *(Field(f"sum_{field.name}", field.bits, signed=field.signed) for field in ADD.fields),
        Field("r_wide", 1),
        Field("out_wide", 1),
        Field("a_follows", 1),
        *_counts("a_ahead", "a_frees"),
        *(Field(f"a_{wait}", WAIT_BITS) for wait in WAITS),
    ),
)


def place_bits(rows: int) -> int:
    """Bits of a place within a word of ``rows`` bytes."""
    return (rows - 1).bit_length()


# Requantization of one output channel (sw/golden/requantize.py), 8 bytes.
CHANNEL = Record("channel", (Field("bias", 32, signed=True), Field("multiplier", 16), Field("shift", 6), Field("reserved", 10)))

# What each operation makes of the scalars is said in `VECTOR_SCALARS`.
VECTOR = Record(
    "vector",
    (
        Field("operation", 8),
        *_address("a"),
        *_address("b"),
        *_address("out"),
        *_counts("rows", "cols", "length"),
        Field("a_zero_point", 16, signed=True),
        Field("b_zero_point", 16, signed=True),
        Field("out_zero_point", 16, signed=True),
        Field("low", 16, signed=True),
        Field("high", 16, signed=True),
        Field("multiplier_0", 24),
        Field("multiplier_1", 18),
        Field("shift_0", 6),
        Field("shift_1", 6),
        Field("a_left", ADD_LEFT_BITS),
        Field("b_left", ADD_LEFT_BITS),
        Field("epsilon", 48),
        Field("rms", 1),
        Field("causal", 1),
        Field("a_wide", 1),
        Field("b_wide", 1),
        Field("out_wide", 1),
        Field("importance", 2),
        *_counts("protected", "a_frees"),
    ),
)

# Command field <- field of the golden model's parameters, per operation. ADD and MULTIPLY take b row by row (b_stride = 0 broadcasts one
# row); LAYERNORM takes gamma and beta as the two 16-bit rows of b. In SOFTMAX the first ``length`` elements of a row count, and where
# ``causal`` one more in each row after the first; ``length`` = cols is no mask. TABLE takes b as one row of 256 entries, the results for
# -128..127 of an a of 8 bits.
#
# Where the machine has `pruning`: SOFTMAX adds its results, less out_zero_point, to the importance of their columns, with ``importance``
# IMPORTANCE_ADDS, or begins anew with them, with IMPORTANCE_BEGINS. It sets the flag ``a_left``, if that is not 0, where in some row no
# result is as large as ``a_zero_point``, and else clears it. TOPK with IMPORTANCE_ADDS writes those elements of the row a that stand in the
# columns of the ``length`` most important of ``cols`` tokens, in their order, the first ``protected`` of them in any case, and leaves the
# importance of these, side by side. TOPK without importance writes those elements of the row b that stand in the columns of the ``length``
# largest elements of the row a. GATHER writes those rows of a whose numbers, unsigned, are the elements of b, a row of ``rows`` of them.
IMPORTANCE_ADDS, IMPORTANCE_BEGINS = 1, 2
_OUT = {name: name for name in ("out_zero_point", "low", "high")}
VECTOR_SCALARS: Mapping[VectorOperation, Mapping[str, str]] = {
    VectorOperation.ADD: {
        "a_zero_point": "a_zero_point", "multiplier_0": "a_multiplier", "a_left": "a_left",
        "b_zero_point": "b_zero_point", "multiplier_1": "b_multiplier", "b_left": "b_left", "shift_0": "shift", **_OUT,
    },
    VectorOperation.RESCALE: {"a_zero_point": "a_zero_point", "multiplier_0": "a_multiplier", "shift_0": "shift", **_OUT},
    VectorOperation.SOFTMAX: {
        "multiplier_0": "multiplier", "shift_0": "shift", "multiplier_1": "out_multiplier", "shift_1": "out_shift",
        "length": "length", **_OUT,
    },
    VectorOperation.GELU: {
        "a_zero_point": "in_zero_point", "multiplier_0": "in_multiplier", "shift_0": "in_shift",
        "multiplier_1": "out_multiplier", "shift_1": "out_shift", **_OUT,
    },
    VectorOperation.LAYERNORM: {"shift_0": "shift", "shift_1": "beta_shift", "epsilon": "epsilon", "rms": "rms", **_OUT},
    VectorOperation.TABLE: {},
    VectorOperation.TOPK: {"length": "k", "protected": "protected"},
    VectorOperation.GATHER: {},
    VectorOperation.MULTIPLY: {
        "a_zero_point": "a_zero_point", "b_zero_point": "b_zero_point", "multiplier_0": "multiplier", "shift_0": "shift", **_OUT,
    },
}  # fmt: skip
# The same of a residual, where a is the result and b the element of r.
RESIDUAL_SCALARS: Mapping[str, str] = {f"sum_{field.name}": field.name for field in ADD.fields}

# A macro of the PIM controller (rtl/arch/pim.py), whose fields are the first ones. Its data are the first ``length`` bytes from the word
# ``a`` on, and zeros behind them; of SCATTER each column takes as many as a channel has banks, of the others column_bytes. Macros that
# answer are not allowed, but in PRODUCT: ``groups`` times WRITE_ACCUMULATORS, MAC_ALL, as many times ``again`` MAC_ALL with the global
# buffer from ``again_buffer`` on, and READ_ACCUMULATORS; from one group to the next row and column go on by ``group_columns`` columns.
#
# Start values are zeros, or with ``starts`` int32 from the word ``a`` on, as many as sums. The first ``n`` sums of all groups, one
# after the other, become results: requantized with the CHANNEL records from the word ``records`` on, one for each or, where ``shared``,
# the first word's for all; or with ``raw`` the sums themselves, 4 bytes each. Results lie side by side from the word ``out`` on, and zeros
# fill the last word.
PRODUCT = 0xFF
PIM = Record(
    "pim",
    (
        *MACRO.fields,
        Field("a", ADDRESS_BITS),
        Field("length", 24),
        *_counts("groups", "group_columns"),
        Field("again", 2),
        Field("again_buffer", 16),
        Field("n", COUNT_BITS),
        *(Field(name, ADDRESS_BITS) for name in ("records", "out")),
        Field("out_zero_point", 16, signed=True),
        Field("low", 16, signed=True),
        Field("high", 16, signed=True),
        *(Field(name, 1) for name in ("starts", "shared", "raw", "out_wide")),
    ),
)
# out[p, c] = requantize(sum over taps t of b[c, t] * S(p, t, c)), as sw/golden/deform.py says of a Deformation with fields of these
# names, for ``lines`` lines of ``columns`` pixels and ``groups`` words of channels, a byte each. Or, where
# by_tap, out[p, t, c] = requantize(b[c, t] * S(p, t, c)): a pixel's taps lie ``out_tap`` words from each other.
#
# Pixel (y, x) of the map is the words from a + y * a_line + x * a_pixel on, and that of the results alike. No point of a tap may lie more
# than ``reach`` pixels from the centre, nor the first centre from the map's first pixel, along y or x. A pixel's ``offsets`` and ``masks``
# lie side by side from that word on, those of the next pixel ``*_stride`` words, of the next line ``*_line`` words behind. b has for each
# word of channels the weights, tap by tap, of weight_bits, the first in the lowest bits; then from a new word on the channels' CHANNEL
# records; then those of the next word of channels.
DEFORM = Record(
    "deform",
    (
        Field("a", ADDRESS_BITS),
        *(Field(f"a_{name}", STRIDE_BITS) for name in ("pixel", "line")),
        *_counts("height", "width", "lines", "columns", "groups"),
        *(Field(f"{axis}_start", SHORT_BITS, signed=True) for axis in "yx"),
        *(Field(f"{axis}_step", 2) for axis in "yx"),
        *(Field(name, SHORT_BITS) for name in ("dilation", "reach")),
        *(Field("form", 2), Field("fraction", 3)),
        *(field for name in ("offsets", "masks") for field in (*_address(name), Field(f"{name}_line", STRIDE_BITS))),
        *(Field("offset_wide", 1), Field("masked", 1)),
        *(Field(f"offset_{name}", 16, signed=True) for name in ("zero_point", "low", "high")),
        Field("mask_zero_point", 8, signed=True),
        *(Field(name, ADDRESS_BITS) for name in ("b", "out")),
        *(Field(f"out_{name}", STRIDE_BITS) for name in ("tap", "pixel", "line")),
        Field("by_tap", 1),
        Field("a_zero_point", 8, signed=True),
        *(Field(name, 16, signed=True) for name in ("out_zero_point", "low", "high")),
        *_counts("offsets_frees"),
    ),
)

OF_PIM = frozenset(Macro) - {Macro.READ, Macro.READ_ACCUMULATORS}  # macros that are a step

COMMANDS: Mapping[Engine, Record] = {
    Engine.LOAD: LOAD,
    Engine.STORE: STORE,
    Engine.COMPUTE: COMPUTE,
    Engine.VECTOR: VECTOR,
    Engine.PIM: PIM,
    Engine.DEFORM: DEFORM,
}


def taken_commands(parameters: MachineParameters) -> Mapping[Engine, Record]:
    """What the engines of a machine take of the commands: their first fields."""
    load = LOAD if parameters.pruning else TRANSFER
    last = Engine.DEFORM if parameters.deform else Engine.PIM if parameters.dram else Engine.VECTOR
    compute = Record("compute", COMPUTE.fields[: len(COMPUTE.fields) - (max(Engine) - last)])  # no waits for engines that it doesn't have
    return {**COMMANDS, Engine.LOAD: load, Engine.COMPUTE: compute}


@dataclass(frozen=True)
class Step:
    """One command. ``waits``: for each engine the number of its steps that must be complete (modulo 2**16). when: the flag that must be
    set, or 0. unit: which of the engine's does it."""

    engine: Engine
    command: Mapping[str, int]
    waits: Mapping[Engine, int] = field(default_factory=dict)
    when: int = 0
    unit: int = 0

    def encode(self) -> bytes:
        """128 bytes. Raises ValueError where a field does not fit."""
        waits = {WAITS[e]: n % (1 << WAIT_BITS) for e, n in self.waits.items()}
        header = HEADER.pack({"engine": self.engine, "when": self.when, "unit": self.unit, **waits})
        return (header | COMMANDS[self.engine].pack(self.command) << HEADER.bits).to_bytes(STEP_BYTES, "little")

    @classmethod
    def decode(cls, data: bytes) -> "Step":
        """The step in 128 bytes. Raises ValueError on an unknown engine or a wrong size."""
        if len(data) != STEP_BYTES:
            raise ValueError(f"a step must have {STEP_BYTES} bytes, not {len(data)}")
        packed = int.from_bytes(data, "little")
        header = HEADER.unpack(packed & ((1 << HEADER.bits) - 1))
        engine = Engine(header["engine"])
        waits = {e: header[WAITS[e]] for e in Engine}
        return cls(engine, COMMANDS[engine].unpack(packed >> HEADER.bits), waits, header["when"], header["unit"])
