"""Number formats and fixed-point multipliers, shared by the golden models, the compiler and the hardware."""

import math
from dataclasses import dataclass
from typing import Self

MULTIPLIER_BITS = 16
SHIFT_BITS = 6
MAX_SHIFT = 2**SHIFT_BITS - 1


@dataclass(frozen=True)
class Format:
    """A two's complement integer of ``bits`` bits. Unsigned ONNX tensors are stored signed, with their zero point moved."""

    bits: int

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def max(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def bytes(self) -> int:
        return self.bits // 8


INT8 = Format(8)
INT16 = Format(16)
INT32 = Format(32)


@dataclass(frozen=True)
class Multiplier:
    """The factor ``value / 2**shift``, with value an unsigned 16-bit integer, so that it fits one DSP input.

    ``value`` is normalised to [2**15, 2**16) by `from_real`, which leaves a relative error of at most 2**-16.
    """

    value: int
    shift: int

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << MULTIPLIER_BITS:
            raise ValueError(f"value must be in 0..{(1 << MULTIPLIER_BITS) - 1}, not {self.value!r}")
        if not 0 <= self.shift <= MAX_SHIFT:
            raise ValueError(f"shift must be in 0..{MAX_SHIFT}, not {self.shift!r}")

    @classmethod
    def from_real(cls, real: float, *, max_shift: int = 47) -> Self:
        """The multiplier nearest to ``real``; denormalised, down to zero, where the shift would exceed ``max_shift``.

        Raises
        ------
        ValueError
            If ``real`` is negative, not finite, or 2**16 and above.
        """
        if not (math.isfinite(real) and real >= 0):
            raise ValueError(f"real must be finite and not negative, not {real!r}")
        shift = min(max_shift, MULTIPLIER_BITS - math.frexp(real)[1])
        value = round_half_even(math.ldexp(real, shift)) if shift >= 0 else 1 << MULTIPLIER_BITS
        if value == 1 << MULTIPLIER_BITS and shift > 0:
            value, shift = value >> 1, shift - 1
        if value >= 1 << MULTIPLIER_BITS:
            raise ValueError(f"real must be below 2**16, not {real!r}")
        return cls(value, shift)

    @property
    def real(self) -> float:
        return math.ldexp(self.value, -self.shift)


def round_half_even(x: float) -> int:
    """The integer nearest to ``x``, ties to even: the rounding of ONNX QuantizeLinear."""
    return round(x)
