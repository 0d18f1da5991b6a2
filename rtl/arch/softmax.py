"""Softmax: parameters of the circuit, the number formats that follow from them, and the run-time record."""

import enum
from dataclasses import dataclass
from functools import cache

from .blocks import OUT_FIELDS, RowCircuit
from .checks import require
from .formats import INT8, INT16, INT32, UINT8, UINT16, Format
from .record import Field, Record
from .tables import LinearTable, exp2_table, reciprocal_table

COARSE_BITS = 3  # the running maximum counts in steps of 2**3 binary places, so that a rescale is a choice of bytes
BELOW_BITS = 3  # of the steps that an element lies below the maximum; the largest number stands for more, too


class Mask(enum.Enum):
    """Which elements of a row count; the others are neither in the sum nor in the maximum, and give zero."""

    NONE = "none"  # all
    LENGTH = "length"  # the first ``length``
    CAUSAL = "causal"  # the first ``length`` in the first row of a matrix, and one more in each row after it


@dataclass(frozen=True)
class Precision:
    """Bits inside, by the bits of the output: the error bound in sw/golden/softmax.py is derived from them.

    multiplier_bits: of the input's factor. log2_bits: fraction of the scores to base 2. mantissa_bits: fraction of 2**x.
    sum_bits: fraction of the running sum. reciprocal_bits: fraction of its reciprocal. weight_bits: of the row's factor.
    """

    multiplier_bits: int
    log2_bits: int
    mantissa_bits: int
    sum_bits: int
    reciprocal_bits: int
    weight_bits: int

    @property
    def exp2(self) -> LinearTable:
        return exp2_table(self.log2_bits, self.mantissa_bits)

    @property
    def reciprocal(self) -> LinearTable:
        return reciprocal_table(self.reciprocal_bits)


PRECISION = {
    8: Precision(multiplier_bits=16, log2_bits=10, mantissa_bits=11, sum_bits=26, reciprocal_bits=14, weight_bits=13),
    16: Precision(multiplier_bits=24, log2_bits=17, mantissa_bits=17, sum_bits=35, reciprocal_bits=20, weight_bits=18),
}
OUT_MULTIPLIER_BITS = 18
EXPONENT_BITS = {8: 10, 16: 14, 32: 24}  # of the integer part of the scores to base 2, by the bits of the scores


@dataclass(frozen=True, kw_only=True)
class SoftmaxCircuit(RowCircuit):
    """source: format of the scores: int8, int16 or int32.
    out: format of the result: int8, uint8, int16 or uint16.
    mask: which elements count: none, length or causal.
    column_sums: 1 to add up each column of the result over the rows of a matrix.
    """

    source: Format = INT16
    out: Format = INT16
    mask: Mask = Mask.NONE
    column_sums: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.source in (INT8, INT16, INT32), "source", "int8, int16 or int32", str(self.source))
        require(self.out in (INT8, UINT8, INT16, UINT16), "out", "int8, uint8, int16 or uint16", str(self.out))

    @property
    def precision(self) -> Precision:
        return PRECISION[self.out.bits]

    @property
    def exponent_bits(self) -> int:
        return EXPONENT_BITS[self.source.bits]

    @property
    def record(self) -> Record:
        return _record(self.precision.multiplier_bits, self.mask is not Mask.NONE, self.mask is Mask.CAUSAL or self.column_sums)


@cache
def _record(multiplier_bits: int, masks: bool, counts_rows: bool) -> Record:
    fields = [Field("multiplier", multiplier_bits), Field("shift", 6)]
    fields += [Field("out_multiplier", OUT_MULTIPLIER_BITS), Field("out_shift", 6), *OUT_FIELDS]
    fields += [Field("length", 17)] * masks + [Field("rows", 16)] * counts_rows
    return Record("softmax", tuple(fields))
