"""Single-pass softmax: running maximum and rescaled running sum while the row streams in (Edge-MoE, arXiv 2305.18691).

Scores are taken to base 2: t = q * scale * log2(e); t = e + x with an integer e and x in [0, 1), so that exp is 2**e * m with a
mantissa m = 2**x from a table. With e = 8 * c + f the running maximum C is that of c, over the beats of `lanes` elements so far:
rescaling the running sum is then a choice of bytes. (Softermax, arXiv 2103.09301, rescales by powers of two.) The stored row is m, f
and how far c lies below C; once the sum is known its reciprocal, times the output scale, multiplies each m.

The hardware truncates at each rescale, so the beats are part of the numbers: results for different lanes may differ in the last
place.

Error, as a part of the result p, for the precision of 16 bits (8 bits in brackets):

- 2 * d * (1 - p) from the exps, of which the sum holds the same, with d = 2**-18 * ln 2 + 1.25 * 2**-17 [2**-11 * ln 2 + 1.25 *
  2**-11]: half a place of t, one place and a quarter of m.
- t * 2**-24 [2**-16] from the input's multiplier, for terms that count (t above -24 [-16]) less than 2**-19 [2**-12].
- n * 2**-35 [2**-26] from the sum's truncation, for a row of n elements.
- 5 * 2**-20 [5 * 2**-14] from the reciprocal, at least 1/2: one unit each from segments and rounding, and half a unit from its argument.
- 2**-18 [2**-13] from the row's weight and 2**-18 from the output's multiplier.

An output step of 1 / 65,535 [1 / 255] and p * (1 - p) <= 1/4 make that at most 1.1 [0.4] steps for rows of up to 65,536 elements, to
which the output's rounding adds half a step: within 2 [1] steps of the exact result rounded. `error_bound` computes it. A finer
output scale, for probabilities that stay small, has 1 - p near 1 and up to 3 [2] steps.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ...rtl.arch.formats import MAX_SHIFT, Format, Multiplier
from ...rtl.arch.softmax import BELOW_BITS, COARSE_BITS, OUT_MULTIPLIER_BITS, PRECISION, Mask, SoftmaxCircuit
from .requantize import Int, round_shift
from .table import interpolate

_BYTE = 1 << COARSE_BITS
_FURTHEST = (1 << BELOW_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class SoftmaxParameters:
    """Run-time integers: ``t = round(q * multiplier / 2**shift)``; an output step is 2**(out_shift - mantissa_bits) / out_multiplier.

    multiplier: uint16 or uint24, not zero. out_multiplier: uint18, not zero. shifts: 0..63. out_zero_point, low, high: int16, of the
    signed number. length: elements that count, for a mask, 0..65,536. rows: of a matrix, for a causal mask and for column sums,
    1..65,535. The input's zero point cancels.
    """

    multiplier: int
    shift: int
    out_multiplier: int
    out_shift: int
    out_zero_point: int
    low: int
    high: int
    length: int = 0
    rows: int = 0

    @classmethod
    def from_scales(
        cls,
        circuit: SoftmaxCircuit,
        *,
        in_scale: float,
        out_scale: float | None = None,
        out_zero_point: int | None = None,
        source: Format | None = None,
        out: Format | None = None,
        length: int = 0,
        rows: int = 0,
    ) -> Self:
        """For real scales. Defaults: the circuit's formats, and an output from 0 to 1 over the whole range.

        source, out: formats within the circuit's that limit the scores and the result.

        Raises
        ------
        ValueError
            If a scale is zero, not finite or beyond what the widths carry.
        """
        p, source, out = circuit.precision, source or circuit.source, out or circuit.out
        if out_scale is None:
            out_scale = 1 / (out.max - out.min)
        zero_point = out.min if out_zero_point is None else out_zero_point
        limit = 2.0 ** (circuit.exponent_bits - 1) / (-source.min * math.log2(math.e))
        if not 0 < in_scale < limit:
            raise ValueError(f"in_scale must be above 0 and below {limit:.4g} for {source} scores, not {in_scale!r}")
        to_log2 = Multiplier.from_real(in_scale * math.log2(math.e) * 2**p.log2_bits, bits=p.multiplier_bits, max_shift=MAX_SHIFT)
        # 1 / out_scale = to_out.value * 2**(mantissa_bits - out_shift)
        finest, coarsest = 2.0 ** -(OUT_MULTIPLIER_BITS + p.mantissa_bits), 2.0**20
        if not finest < out_scale < coarsest:
            raise ValueError(f"out_scale must be above {finest:.4g} and below {coarsest:.4g}, not {out_scale!r}")
        if to_log2.value == 0:
            raise ValueError(f"in_scale must be above {2.0**-MAX_SHIFT:.4g}, not {in_scale!r}")
        to_out = Multiplier.from_real(2.0**-p.mantissa_bits / out_scale, bits=OUT_MULTIPLIER_BITS, max_shift=MAX_SHIFT)
        return cls(
            multiplier=to_log2.value,
            shift=to_log2.shift,
            out_multiplier=to_out.value,
            out_shift=to_out.shift,
            out_zero_point=zero_point - out.offset,
            low=out.min - out.offset,
            high=out.max - out.offset,
            length=length,
            rows=rows,
        )


def error_bound(p: float, n: int, bits: int) -> float:
    """Of a probability ``p`` in a row of ``n`` elements before the output's rounding, for the precision of ``bits`` bits."""
    q = PRECISION[bits]
    exps = 2.0 ** -(q.log2_bits + 1) * math.log(2) + 1.25 * 2.0**-q.mantissa_bits
    multiplier = 24 * 2.0**-24 if bits == 16 else 16 * 2.0**-16
    row = n * 2.0**-q.sum_bits + 5 * 2.0**-q.reciprocal_bits + 2.0**-q.weight_bits + 2.0**-OUT_MULTIPLIER_BITS
    return p * ((2 * exps + multiplier) * (1 - p) + row)


def exponentials(q: ArrayLike, parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> tuple[Int, Int]:
    """``(m, e)`` with exp(q * scale) = m * 2**(e - mantissa_bits). q: scores, any shape."""
    p = circuit.precision
    limit = 1 << (circuit.exponent_bits + p.log2_bits - 1)
    t = round_shift(np.asarray(q, np.int64) * parameters.multiplier, parameters.shift)
    t = np.clip(t, -limit, limit - 1)
    return interpolate(p.exp2, t & ((1 << p.log2_bits) - 1)), t >> p.log2_bits


def counted(shape: tuple[int, int], parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> NDArray[np.bool_]:
    """The elements [R, n] that the mask leaves; the rows are those of matrices of ``parameters.rows`` rows."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    match circuit.mask:
        case Mask.NONE:
            return np.ones(shape, np.bool_)
        case Mask.LENGTH:
            return np.broadcast_to(columns < parameters.length, shape)
        case Mask.CAUSAL:
            return columns < parameters.length + rows % parameters.rows


def running_maximum(coarse: Int, lanes: int) -> Int:
    """C for each element [R, n]: the largest c up to the end of its beat."""
    rows, n = coarse.shape
    padded = np.full((rows, -(-n // lanes) * lanes), np.iinfo(np.int64).min)
    padded[:, :n] = coarse
    beats = np.maximum.accumulate(padded.reshape(rows, -1, lanes).max(axis=2), axis=1)
    return np.repeat(beats, lanes, axis=1)[:, :n]


def relations(rows: Int, parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> tuple[Int, Int, Int, Int]:
    """Of each score [R, n]: the mantissa m, f, how far c lies below the running maximum C, and C; m is 0 where the mask leaves it out."""
    counts = counted((rows.shape[0], rows.shape[1]), parameters, circuit)
    mantissa, exponent = exponentials(rows, parameters, circuit)
    lowest = -(1 << (circuit.exponent_bits - 1 - COARSE_BITS))
    coarse = np.where(counts, exponent >> COARSE_BITS, lowest)
    maximum = running_maximum(coarse, circuit.lanes)
    return np.where(counts, mantissa, 0), exponent & (_BYTE - 1), np.minimum(maximum - coarse, _FURTHEST), maximum


def running_sum(mantissa: Int, fine: Int, below: Int, maximum: Int, circuit: SoftmaxCircuit) -> Int:
    """Sum of each row [R, n], in units of 2**(8 * C - sum_bits) with the row's last C."""
    p, lanes = circuit.precision, circuit.lanes
    terms = (mantissa << (p.sum_bits - p.mantissa_bits + fine)) >> (_BYTE * below)
    total = np.zeros(len(terms), np.int64)
    before = maximum[:, 0]
    for start in range(0, terms.shape[1], lanes):
        rise = np.minimum(maximum[:, start] - before, _FURTHEST)
        before = maximum[:, start]
        total = (total >> (_BYTE * rise)) + terms[:, start : start + lanes].sum(axis=1)
    return total


def row_weight(total: Int, parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> tuple[Int, Int]:
    """``(w, s)`` for sums in units of 2**-sum_bits: out_step / sum = w * 2**-s for mantissas in their units. Anything for a sum of zero."""
    p = circuit.precision
    position = np.array([max(0, int(x).bit_length() - 1) for x in total], np.int64)  # of the leading one
    fraction = (total << np.maximum(p.reciprocal_bits - position, 0)) >> np.maximum(position - p.reciprocal_bits, 0)
    reciprocal = interpolate(p.reciprocal, fraction & ((1 << p.reciprocal_bits) - 1))
    product = reciprocal * parameters.out_multiplier
    # normalised to weight_bits bits: it lies between 2**(top - 2) and 2**top
    top = p.reciprocal_bits + OUT_MULTIPLIER_BITS
    small = product < 1 << (top - 1)
    weight = round_shift(product, np.where(small, top - 1, top) - p.weight_bits)
    weight = np.minimum(weight, (1 << p.weight_bits) - 1)
    return weight, parameters.out_shift + p.weight_bits - OUT_MULTIPLIER_BITS + small + position - p.sum_bits


def column_sums(y: ArrayLike, parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> Int:
    """Sums of the columns of each matrix, in output steps above the zero point, modulo 2**32.

    y: [M * rows, n], the softmax of M matrices; returns [M, n].
    """
    steps = np.asarray(y, np.int64) - (parameters.out_zero_point + circuit.out.offset)
    return steps.reshape(-1, parameters.rows, steps.shape[-1]).sum(axis=1) % 2**32


def machine_circuit(lanes: int) -> SoftmaxCircuit:
    """The machine's softmax, for int8 and int16 numbers; of its vector engine's parameters only the lanes are part of the numbers."""
    return SoftmaxCircuit(lanes=lanes, mask=Mask.CAUSAL)


def softmax(q: ArrayLike, parameters: SoftmaxParameters, circuit: SoftmaxCircuit) -> Int:
    """Over the last axis. q: [..., n] scores, the rows of one or more matrices; returns numbers of the output format, same shape."""
    p = parameters
    q = np.asarray(q, np.int64)
    mantissa, fine, below, maximum = relations(q.reshape(-1, q.shape[-1]), p, circuit)
    total = running_sum(mantissa, fine, below, maximum, circuit)
    weight, shift = row_weight(total, p, circuit)
    below = np.minimum(below + maximum[:, -1:] - maximum, _FURTHEST)
    shift = np.clip(shift[:, None] + _BYTE * below - fine, 0, MAX_SHIFT)
    y = round_shift(mantissa * weight[:, None], shift)
    return (np.clip(y + p.out_zero_point, p.low, p.high) + circuit.out.offset).reshape(q.shape)
