"""What the parts of the deformable convolution engine hand to each other."""

from amaranth.hdl import Mux, Value, signed
from amaranth.lib import data
from amaranth.utils import bits_for, ceil_log2

from ..arch.deform import FRACTION_BITS, DeformCircuit
from ..arch.steps import COUNT_BITS

NEAR = signed(6)  # a distance in pixels within the reach, or a limit one beyond
DISPLACEMENT = signed(NEAR.width + FRACTION_BITS)
ROWS_BITS = COUNT_BITS + 2  # of a count of rows, modulo
WEIGHT_BITS = 12  # of a point's weight behind the point (sw/golden/deform.py)
PASSED = "until", "frees", "new_group", "new_line"  # with a pixel until its taps are read
_COUNTS = dict.fromkeys(PASSED[:2], ROWS_BITS)
WEIGHT = signed(WEIGHT_BITS + 2)  # from -1 to 1


def row_layout(c: DeformCircuit) -> data.StructLayout:
    """Where a row of a map lies in the line buffer: its slot, and the bank of its first pixel."""
    return data.StructLayout({"slot": range(c.rows), "bank": range(c.banks)})


def line_layout(c: DeformCircuit) -> data.StructLayout:
    """A line of results. row: of their centres. first, last: rows that the map has, counted from there, as far as a kernel can reach.
    until: rows that must have been filled since the start. frees: rows that no later line needs. new_group: it is the first one of a word
    of channels."""
    limits = dict.fromkeys(("first", "last"), NEAR)
    return data.StructLayout({"row": row_layout(c), **limits, **_COUNTS, "new_group": 1})


def pixel_layout(c: DeformCircuit) -> data.StructLayout:
    """A result. quotient, rest: of its centre's column by the number of banks. left, right: columns that the map has on both sides of it,
    as far as a kernel can reach. new_line: it is the first one of its line. until: as of the line. frees, new_group: as of the line, of its
    last and of its first pixel; else 0."""
    line = {name: line_layout(c)[name].shape for name in ("row", "first", "last", *PASSED[:-1])}
    return data.StructLayout(
        {**line, "quotient": column_bits(c), "rest": range(c.banks), **dict.fromkeys(("left", "right"), NEAR), "new_line": 1}
    )


def column_bits(c: DeformCircuit) -> int:
    """Of a column of a bank."""
    return ceil_log2(c.bank_columns)


def place_bits(c: DeformCircuit) -> int:
    """Of a word's place in a bank: its column, then its slot."""
    return column_bits(c) + bits_for(c.rows - 1)


def point_layout(c: DeformCircuit) -> data.StructLayout:
    """A pixel of the line buffer that a tap takes, if it is ``wanted``. weight: where the circuit is fractional."""
    weight = {"weight": WEIGHT} if c.fractional else {}
    return data.StructLayout({"bank": range(c.banks), "place": place_bits(c), "wanted": 1, **weight})


def points_layout(c: DeformCircuit) -> data.StructLayout:
    """Of a pixel: by turns, of which it takes the second one only if it ``has_second``, for each copy of the line buffer the points of its
    taps. rivals: of each tap a bit for each tap before it that takes another point of the same bank. The others are those of the pixel."""
    taps = data.ArrayLayout(data.ArrayLayout(point_layout(c), c.taps), c.copies)
    rivals = data.ArrayLayout(data.ArrayLayout(c.taps, c.taps), c.copies)
    turn = data.StructLayout({"taps": taps, **({"rivals": rivals} if c.arbitrates else {})})
    return data.StructLayout({"turns": data.ArrayLayout(turn, c.copies), "has_second": 1, **_COUNTS, "new_group": 1, "new_line": 1})


def wrapped(value: Value, modulus: int) -> Value:
    """``value`` modulo ``modulus``, where it is at least -modulus and less than twice that."""
    rest = Mux(value >= modulus, value - modulus, value)
    return Mux(value < 0, value + modulus, rest) if value.shape().signed else rest
