"""A row's sum to what its elements are multiplied with (model: `row_weight` in sw/golden/softmax.py)."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import SHIFT_BITS
from .arch.softmax import OUT_MULTIPLIER_BITS, Precision
from .delay import delay
from .multiplier import multiply, product_latency
from .normaliser import Normaliser
from .table import TableLookup

WEIGHT_SHIFT = signed(9)


class RowWeight(wiring.Component):
    """The reciprocal of ``total``, which has sum_bits of fraction, over the output's step: ``weight / 2**shift``, `latency` cycles later.

    Members
    -------
    total: unsigned of ``sum_bits`` bits. out_multiplier, out_shift: as in SoftmaxParameters. weight: normalised. shift: signed.
    """

    def __init__(self, precision: Precision, sum_bits: int) -> None:
        self._precision = precision
        self._normaliser = Normaliser(sum_bits)
        super().__init__(
            {
                "total": In(sum_bits),
                "out_multiplier": In(OUT_MULTIPLIER_BITS),
                "out_shift": In(SHIFT_BITS),
                "weight": Out(precision.weight_bits),
                "shift": Out(WEIGHT_SHIFT),
            }
        )

    @property
    def _product_latency(self) -> int:
        return product_latency(unsigned(self._precision.reciprocal.base_bits), unsigned(OUT_MULTIPLIER_BITS))

    @property
    def latency(self) -> int:
        return self._normaliser.latency + TableLookup.latency + self._product_latency + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, width = self._precision, len(self.total)
        m.submodules.normaliser = normaliser = self._normaliser
        m.submodules.reciprocal = reciprocal = TableLookup(p.reciprocal)
        m.d.comb += [
            normaliser.i.eq(self.total),
            reciprocal.i[0].eq(normaliser.o[width - 1 - p.reciprocal_bits : width - 1]),  # below the leading one
        ]
        product = multiply(m, reciprocal.o[0], self.out_multiplier, name="scaled")
        top = p.reciprocal_bits + OUT_MULTIPLIER_BITS
        rest = top - p.weight_bits
        small = ~product[top - 1]
        position = width - 1 - p.sum_bits + p.weight_bits - OUT_MULTIPLIER_BITS - normaliser.shift
        position = delay(m, position, TableLookup.latency + self._product_latency)
        scaled = Signal(top, reset_less=True)
        shift = Signal(WEIGHT_SHIFT, reset_less=True)
        m.d.sync += [scaled.eq(Mux(small, product << 1, product)), shift.eq(position + small + self.out_shift)]
        floor = scaled[rest:]
        up = scaled[rest - 1] & (scaled[: rest - 1].any() | floor[0]) & ~floor.all()
        weight = Signal(p.weight_bits, reset_less=True)
        m.d.sync += weight.eq(floor + up)
        m.d.comb += [self.weight.eq(weight), self.shift.eq(delay(m, shift, 1))]
        return m
