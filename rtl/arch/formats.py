"""Number formats and fixed-point multipliers, shared by the golden models, the compiler and the hardware."""

import math
import re
from dataclasses import dataclass

from typing_extensions import Self

MULTIPLIER_BITS = 16
SHIFT_BITS = 6
MAX_SHIFT = 2**SHIFT_BITS - 1
FACTOR_BITS = 8  # of a group's factor, unsigned: its share of the channel's largest scale
MAX_FACTOR = 2**FACTOR_BITS - 1


@dataclass(frozen=True)
class Format:
    """An integer of ``bits`` bits, two's complement if signed.

    Inside of the hardware every number is signed: an unsigned one less `offset`, which is the same bits with the highest inverted.
    """

    bits: int
    signed: bool = True

    @classmethod
    def of(cls, name: str) -> Self:
        """From a name such as uint8. Raises ValueError on other names."""
        found = re.fullmatch(r"(u?)int(\d+)", name)
        if not found:
            raise ValueError(f"the name of an integer type must be int or uint and its bits, not {name!r}")
        return cls(int(found[2]), signed=not found[1])

    @property
    def offset(self) -> int:
        """What an unsigned number is larger by than the signed one that stands for it; 0 for a signed format."""
        return 0 if self.signed else 1 << (self.bits - 1)

    @property
    def min(self) -> int:
        return self.offset - (1 << (self.bits - 1))

    @property
    def max(self) -> int:
        return self.offset + (1 << (self.bits - 1)) - 1

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def bytes(self) -> int:
        return self.bits // 8


INT8 = Format(8)
INT16 = Format(16)
INT32 = Format(32)
UINT8 = Format(8, signed=False)
UINT16 = Format(16, signed=False)
UINT32 = Format(32, signed=False)
FORMATS = {str(f): f for f in (INT8, UINT8, INT16, UINT16, INT32, UINT32)}


@dataclass(frozen=True)
class Multiplier:
    """The factor ``value / 2**shift``, with value an unsigned integer of ``bits`` bits: 16, to fit one DSP input, where no more is needed.

    ``value`` is normalised to [2**(bits - 1), 2**bits) by `from_real`, which leaves a relative error of at most 2**-bits.
    """

    value: int
    shift: int
    bits: int = MULTIPLIER_BITS

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << self.bits:
            raise ValueError(f"value must be in 0..{(1 << self.bits) - 1}, not {self.value!r}")
        if not 0 <= self.shift <= MAX_SHIFT:
            raise ValueError(f"shift must be in 0..{MAX_SHIFT}, not {self.shift!r}")

    @classmethod
    def from_real(cls, real: float, *, bits: int = MULTIPLIER_BITS, max_shift: int = 47) -> Self:
        """The multiplier nearest to ``real``; denormalised, down to zero, where the shift would exceed ``max_shift``.

        Raises
        ------
        ValueError
            If ``real`` is negative, not finite, or 2**bits and above.
        """
        if not (math.isfinite(real) and real >= 0):
            raise ValueError(f"real must be finite and not negative, not {real!r}")
        shift = min(max_shift, bits - math.frexp(real)[1])
        value = round_half_even(math.ldexp(real, shift)) if shift >= 0 else 1 << bits
        if value == 1 << bits and shift > 0:
            value, shift = value >> 1, shift - 1
        if value >= 1 << bits:
            raise ValueError(f"real must be below 2**{bits}, not {real!r}")
        return cls(value, shift, bits)

    @property
    def real(self) -> float:
        return math.ldexp(self.value, -self.shift)


def round_half_even(x: float) -> int:
    """The integer nearest to ``x``, ties to even: the rounding of ONNX QuantizeLinear."""
    return round(x)


def round_shift(value: int, shift: int) -> int:
    """``round_half_even(value / 2**shift)``, exactly, of integers of any size."""
    floor, rest, half = value >> shift, value & ((1 << shift) - 1), 1 << shift >> 1
    return floor + (shift > 0 and (rest > half or (rest == half and floor & 1 == 1)))


def narrowness(bits: int) -> int:
    """How often a byte is halved to get elements of ``bits`` bits: 0, 1, 2 of 8, 4, 2 (``b_narrow`` of a compute step)."""
    return (8 // bits).bit_length() - 1
