"""The elements of a beat to their results: what is behind the streams of rtl/activation.py (model: sw/golden/activation.py)."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .arch.activation import LINEAR, ODD, TABLE_ENTRIES, ActivationCircuit, Function
from .arch.formats import INT16
from .delay import delay
from .elements import element_shape
from .layouts import record_layout
from .multiplier import multiply_registered, product_latency
from .requantizer import Rounder
from .rounding import shift_field
from .table import TableLookup, pairs

_DIFFERENCE = signed(INT16.bits + 1)
_VALUE_LATENCY = 1  # from the table to the multiplier, of which there are so many that the way is long


def _lanes(circuit: ActivationCircuit) -> dict[str, wiring.Member]:
    shapes = {"i": In(element_shape(circuit.source)), "o": Out(element_shape(circuit.out))}
    return {name: wiring.Member(member.flow, data.ArrayLayout(member.shape, circuit.lanes)) for name, member in shapes.items()}


class TableLanes(wiring.Component):
    """Each element to its entry of a table, one cycle later; the result holds unless ``enable``.

    entries: for -128..127, of a table in the circuit; None for one that is given at run time.

    Members
    -------
    entries, reload: the table at run time. usable: whether all of it is there; without it no element is looked up.
    """

    latency = 1

    def __init__(self, circuit: ActivationCircuit, entries: Sequence[int] | None) -> None:
        self._circuit, self._init = circuit, entries
        load = {"entries": In(stream.Signature(element_shape(circuit.out))), "reload": In(1)}
        super().__init__({**_lanes(circuit), "enable": In(1), "usable": Out(1), **(load if entries is None else {})})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape, half = element_shape(self._circuit.out), TABLE_ENTRIES // 2
        init = [*self._init[half:], *self._init[:half]] if self._init is not None else []  # an element's bits are the address
        loads = self._init is None
        at = Signal(range(TABLE_ENTRIES), init=half)
        m.d.comb += self.usable.eq(1)
        if loads:
            loaded = Signal()
            m.d.comb += [self.usable.eq(loaded), self.entries.ready.eq(~loaded)]
            with m.If(self.reload):
                m.d.sync += [loaded.eq(0), at.eq(half)]
            with m.Elif(self.entries.valid & ~loaded):
                m.d.sync += [loaded.eq(at == half - 1), at.eq(at + 1)]
        for pair in pairs(self._circuit.lanes):
            attributes = {"ram_style": "block", "rom_style": "block"}
            m.submodules[f"table{pair[0]}"] = table = Memory(shape=shape, depth=TABLE_ENTRIES, init=init, attrs=attributes)
            addresses = [self.i[lane].as_unsigned() for lane in pair]
            if loads:  # through the port of the first lane, so that two are enough
                addresses[0] = Mux(self.usable, addresses[0], at)
                write = table.write_port()
                m.d.comb += [
                    write.addr.eq(addresses[0]),
                    write.data.eq(self.entries.payload),
                    write.en.eq(self.entries.valid & ~self.usable),
                ]
            for lane, address in zip(pair, addresses, strict=True):
                read = table.read_port()
                m.d.comb += [read.addr.eq(address), read.en.eq(self.enable & self.usable), self.o[lane].eq(read.data)]
        return m


class FixedPointLanes(wiring.Component):
    """Each element to its result by way of fixed point, ``latency`` cycles later; all stands still unless ``enable``.

    Members
    -------
    parameters: as ActivationParameters; constant while elements are under way.
    """

    def __init__(self, circuit: ActivationCircuit) -> None:
        self._circuit = circuit
        in_bits, out_bits = circuit.multiplier_bits
        self._product_latency = 1 + product_latency(element_shape(circuit.value), unsigned(out_bits))
        to_fixed = 1 + product_latency(_DIFFERENCE, unsigned(in_bits)) + Rounder.latency
        self.latency = to_fixed + 1 + TableLookup.latency + _VALUE_LATENCY + self._product_latency + Rounder.latency
        super().__init__({**_lanes(circuit), "enable": In(1), "parameters": In(record_layout(circuit.record))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for pair in pairs(self._circuit.lanes):
            m.submodules[f"table{pair[0]}"] = table = TableLookup(self._circuit.table, len(pair))
            for port, lane in enumerate(pair):
                self._lane(m, platform, lane, table.i[port], table.o[port])
        return m

    def _lane(self, m: Module, platform: object, lane: int, address: Value, found: Value) -> None:
        """``address`` goes to the lane's table, which gives ``found``."""
        c, p = self._circuit, self.parameters
        difference = self.i[lane] - p.in_zero_point
        product = multiply_registered(m, platform, difference, p.in_multiplier, name=f"argument_{lane}", enable=self.enable) << c.in_left
        m.submodules[f"to_fixed{lane}"] = to_fixed = Rounder(len(product), out_bits=c.fixed.bits, steady=True)
        m.d.comb += [
            to_fixed.i.value.eq(product),
            to_fixed.i.shift.eq(p.in_shift),
            to_fixed.low.eq(-c.fixed.max),
            to_fixed.high.eq(c.fixed.max),
        ]
        exp = c.function is Function.EXP
        y, shift = (self._exp if exp else self._corrected)(m, to_fixed.o, address, found)
        product = multiply_registered(m, platform, y, p.out_multiplier, name=f"result_{lane}", enable=self.enable)
        m.submodules[f"to_out{lane}"] = to_out = Rounder(len(product), steady=not exp)
        m.d.comb += [
            to_out.i.value.eq(product),
            to_out.i.shift.eq(shift),
            to_out.zero_point.eq(p.out_zero_point),
            to_out.low.eq(p.low),
            to_out.high.eq(p.high),
            self.o[lane].eq(to_out.o ^ c.out.offset),
        ]

    def _corrected(self, m: Module, x: Value, address: Value, found: Value) -> tuple[Value, Value]:
        """What the function tends to, less the correction; and the output's shift."""
        c, limit = self._circuit, 1 << self._circuit.fraction_bits
        magnitude = delay(m, Mux(x < 0, -x, x)[: c.fixed.bits - 1], 1)
        m.d.comb += address.eq(magnitude)
        beyond = delay(m, magnitude[len(address) :].any(), TableLookup.latency)
        correction, x = Mux(beyond, 0, found), delay(m, x, 1 + TableLookup.latency)
        if c.function in LINEAR:
            y = Mux(x < 0, 0, x) - correction
        else:
            y = Mux(x < 0, correction - (limit if c.function in ODD else 0), limit - correction)
        return delay(m, y[: c.value.bits].as_signed(), _VALUE_LATENCY), self.parameters.out_shift

    def _exp(self, m: Module, t: Value, address: Value, found: Value) -> tuple[Value, Value]:
        """The mantissa of 2**t; and a shift that has its power of two."""
        bits = self._circuit.fraction_bits
        m.d.comb += address.eq(delay(m, t[:bits], 1))
        shift = self.parameters.out_shift - delay(m, t[bits:].as_signed(), 1)
        return delay(m, found, _VALUE_LATENCY), delay(m, shift_field(shift), TableLookup.latency + _VALUE_LATENCY + self._product_latency)
