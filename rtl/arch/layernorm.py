"""LayerNorm and RMSNorm: parameters of the circuit, number formats, and the run-time record."""

from dataclasses import dataclass

from .blocks import OUT_FIELDS, RowCircuit
from .checks import require
from .formats import INT8, INT16, UINT8, UINT16, Format
from .record import Field, Record

Z_FRACTION_BITS = 15  # of the normalised value
Z_BITS = 23  # of the normalised value: at most the root of 8,192, and the sign
SCALE_BITS = 17  # of a row's scale: with a sign the operand of a multiplier block
GUARD_BITS = 8  # of a row's offset, below the last place of an element times the scale
EPSILON_BITS = 48
BETA_SHIFT_BITS = 5
MOST_ELEMENTS = 8192
ELEMENTS_BITS = MOST_ELEMENTS.bit_length()

LAYERNORM = Record(
    "layernorm", (Field("shift", 6), Field("beta_shift", BETA_SHIFT_BITS), Field("epsilon", EPSILON_BITS), Field("rms", 1), *OUT_FIELDS)
)


@dataclass(frozen=True, kw_only=True)
class LayerNormCircuit(RowCircuit):
    """source: format of the rows: int8 or int16.
    out: format of the result: int8, uint8, int16 or uint16.
    """

    source: Format = INT16
    out: Format = INT16

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.row_elements <= MOST_ELEMENTS, "row_elements", f"a power of two in 16..{MOST_ELEMENTS}", self.row_elements)
        require(self.source in (INT8, INT16), "source", "int8 or int16", str(self.source))
        require(self.out in (INT8, UINT8, INT16, UINT16), "out", "int8, uint8, int16 or uint16", str(self.out))

    @property
    def record(self) -> Record:
        return LAYERNORM
