"""Scores to ``2**(exponent) * mantissa`` (model: `exponentials` in sw/golden/softmax.py)."""

from collections.abc import Mapping

from amaranth.hdl import Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import INT8, round_shift
from .arch.softmax import SoftmaxCircuit
from .delay import delay
from .elements import element_shape
from .layouts import record_layout
from .requantizer import Requantizer, requantizer_latency
from .table import TableLookup, pairs


class Exponential(wiring.Component):
    """exp of ``lanes`` scores, ``latency`` cycles later.

    With int8 scores and fixed parameters it is a table of all 256 results, one for two lanes; else a product to base 2 and a table of 2**x.

    Members
    -------
    i: scores. mantissa: [1, 2) with mantissa_bits of fraction. exponent: signed.
    """

    def __init__(self, circuit: SoftmaxCircuit, fixed: Mapping[str, int] | None) -> None:
        self._circuit, self._table = circuit, None
        exponent_bits = circuit.exponent_bits
        if circuit.source == INT8 and fixed is not None:
            self._table = [_evaluate(circuit, fixed, score) for score in (*range(128), *range(-128, 0))]
            exponent_bits = 1 + max((e if e >= 0 else ~e).bit_length() for _, e in self._table)
        lanes, p = circuit.lanes, circuit.precision
        super().__init__(
            {
                "i": In(data.ArrayLayout(element_shape(circuit.source), lanes)),
                "parameters": In(record_layout(circuit.record)),
                "mantissa": Out(data.ArrayLayout(unsigned(p.mantissa_bits + 1), lanes)),
                "exponent": Out(data.ArrayLayout(signed(max(exponent_bits, 4)), lanes)),
            }
        )

    @property
    def exponent_shape(self) -> Shape:
        return self.exponent.shape().elem_shape

    @property
    def latency(self) -> int:
        if self._table is not None:
            return 2
        return requantizer_latency(self._circuit.source.bits, self._circuit.precision.multiplier_bits) + TableLookup.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for pair in pairs(self._circuit.lanes):
            if self._table is not None:
                self._look_up(m, pair, self._table)
            else:
                self._compute(m, pair)
        return m

    def _look_up(self, m: Module, pair: range, table: list[tuple[int, int]]) -> None:
        fraction_bits = self._circuit.precision.mantissa_bits  # the leading one is not stored
        entry = data.StructLayout({"fraction": fraction_bits, "exponent": self.exponent_shape})
        init = [{"fraction": mantissa & ((1 << fraction_bits) - 1), "exponent": exponent} for mantissa, exponent in table]
        words = memory.Memory(shape=entry, depth=len(init), init=init, attrs={"rom_style": "block"})
        m.submodules[f"table{pair[0]}"] = words
        for lane in pair:
            read = words.read_port()
            found = Signal(entry, name=f"found_{lane}", reset_less=True)
            m.d.sync += found.eq(read.data)
            m.d.comb += [
                read.addr.eq(self.i[lane]),
                self.mantissa[lane].eq((1 << fraction_bits) | found.fraction),
                self.exponent[lane].eq(found.exponent),
            ]

    def _compute(self, m: Module, pair: range) -> None:
        p, circuit = self._circuit.precision, self._circuit
        bits = circuit.exponent_bits + p.log2_bits
        m.submodules[f"exp2_{pair[0]}"] = exp2 = TableLookup(p.exp2, len(pair))
        for port, lane in enumerate(pair):
            to_log2 = Requantizer(circuit.source.bits, multiplier_bits=p.multiplier_bits, out_bits=bits, steady=True)
            m.submodules[f"to_log2_{lane}"] = to_log2
            m.d.comb += [
                to_log2.i.value.eq(self.i[lane]),
                to_log2.i.multiplier.eq(self.parameters.multiplier),
                to_log2.i.shift.eq(self.parameters.shift),
                to_log2.low.eq(-(1 << (bits - 1))),
                to_log2.high.eq((1 << (bits - 1)) - 1),
                exp2.i[port].eq(to_log2.o[: p.log2_bits]),
                self.mantissa[lane].eq(exp2.o[port]),
                self.exponent[lane].eq(delay(m, to_log2.o[p.log2_bits :], TableLookup.latency)),
            ]


def _evaluate(circuit: SoftmaxCircuit, fixed: Mapping[str, int], score: int) -> tuple[int, int]:
    """Mantissa and exponent of one score."""
    p = circuit.precision
    limit = 1 << (circuit.exponent_bits + p.log2_bits - 1)
    t = min(max(round_shift(score * fixed["multiplier"], fixed["shift"]), -limit), limit - 1)
    return p.exp2.at(t & ((1 << p.log2_bits) - 1)), t >> p.log2_bits
