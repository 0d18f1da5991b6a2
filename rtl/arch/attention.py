"""Streaming attention: parameters of the circuit, and the run-time record. The weights' numbers are softmax's (rtl/arch/softmax.py)."""

from dataclasses import dataclass
from functools import cache

from .blocks import OUT_FIELDS, RowCircuit
from .checks import require
from .formats import INT8, INT16, INT32, UINT8, UINT16, Format
from .record import Field, Record
from .softmax import OUT_MULTIPLIER_BITS, SoftmaxCircuit

TOTAL_FRACTION_BITS = {8: 20, 16: 28}  # of the weighted sums of values, by the bits of the output


@dataclass(frozen=True, kw_only=True)
class AttentionCircuit(RowCircuit):
    """lanes: elements of a value per cycle.
    row_elements: most keys, a power of two.
    head_elements: most elements of a value.
    source: format of the scores: int8, int16 or int32.
    out: format of the result: int8, uint8, int16 or uint16.
    """

    head_elements: int = 128
    source: Format = INT16
    out: Format = INT8

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = type(self.head_elements) is int and 1 <= self.head_elements <= 1024
        require(allowed, "head_elements", "an integer in 1..1024", self.head_elements)
        require(self.source in (INT8, INT16, INT32), "source", "int8, int16 or int32", str(self.source))
        require(self.out in (INT8, UINT8, INT16, UINT16), "out", "int8, uint8, int16 or uint16", str(self.out))

    @property
    def weights(self) -> SoftmaxCircuit:
        """The softmax of the scores, one a cycle."""
        return SoftmaxCircuit(lanes=1, row_elements=self.row_elements, source=self.source, out=self.out)

    @property
    def total_fraction_bits(self) -> int:
        return TOTAL_FRACTION_BITS[self.out.bits]

    @property
    def weight_bits(self) -> int:
        """Of softmax's row weight that are used: at most 17, which share multiplier blocks with signed totals."""
        return min(self.weights.precision.weight_bits, 17)

    @property
    def record(self) -> Record:
        return _record(self.weights.precision.multiplier_bits)


@cache
def _record(multiplier_bits: int) -> Record:
    scales = Field("multiplier", multiplier_bits), Field("shift", 6), Field("out_multiplier", OUT_MULTIPLIER_BITS), Field("out_shift", 6)
    return Record("attention", (*scales, Field("value_zero_point", 8, signed=True), *OUT_FIELDS))
