"""Piecewise-linear table lookups that share a memory (tables: rtl/arch/tables.py, model: sw/golden/table.py)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.tables import LinearTable


class SharedTable(wiring.Component):
    """``o = base[index] + round(slope[index] * fraction / 2**fraction_bits)`` for each of ``count`` inputs, `latency` cycles later.

    count: at most 2, the ports of a block RAM.
    """

    latency = 4

    def __init__(self, table: LinearTable, count: int) -> None:
        self._table = table
        super().__init__({"i": In(data.ArrayLayout(table.input_bits, count)), "o": Out(data.ArrayLayout(table.base_bits, count))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table = self._table
        segment = data.StructLayout({"base": unsigned(table.base_bits), "slope": signed(table.slope_bits)})
        rows = [{"base": b, "slope": s} for b, s in zip(table.base, table.slope, strict=True)]
        m.submodules.segments = segments = memory.Memory(shape=segment, depth=len(rows), init=rows, attrs={"rom_style": "block"})
        for argument, value in zip(self.i, self.o, strict=True):
            read = segments.read_port()
            found = Signal(segment, reset_less=True)  # a block RAM is slow: nothing else fits its cycle
            fraction, later_fraction = Signal(table.fraction_bits, reset_less=True), Signal(table.fraction_bits, reset_less=True)
            rise = Signal(signed(table.slope_bits + table.fraction_bits + 1), reset_less=True)
            base, result = Signal(table.base_bits, reset_less=True), Signal(table.base_bits, reset_less=True)
            m.d.comb += [read.addr.eq(argument[table.fraction_bits :]), value.eq(result)]
            m.d.sync += [
                fraction.eq(argument[: table.fraction_bits]),
                found.eq(read.data),
                later_fraction.eq(fraction),
                rise.eq(found.slope * later_fraction),
                base.eq(found.base),
                result.eq(base + ((rise + (1 << (table.fraction_bits - 1))) >> table.fraction_bits)),
            ]
        return m
