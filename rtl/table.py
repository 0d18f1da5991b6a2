"""Piecewise-linear table lookup (tables: rtl/arch/tables.py, model: sw/golden/table.py)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.tables import LinearTable


class TableLookup(wiring.Component):
    """``o = base[index] + round(slope[index] * fraction / 2**fraction_bits)``, `latency` cycles after ``i``."""

    latency = 3

    def __init__(self, table: LinearTable) -> None:
        self._table = table
        super().__init__({"i": In(table.input_bits), "o": Out(table.base_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table = self._table
        segment = data.StructLayout({"base": unsigned(table.base_bits), "slope": signed(table.slope_bits)})
        rows = [{"base": b, "slope": s} for b, s in zip(table.base, table.slope, strict=True)]
        m.submodules.segments = segments = memory.Memory(shape=segment, depth=len(rows), init=rows)
        read = segments.read_port()
        fraction, base = Signal(table.fraction_bits, reset_less=True), Signal(table.base_bits, reset_less=True)
        rise = Signal(signed(table.slope_bits + table.fraction_bits + 1), reset_less=True)
        result = Signal(table.base_bits, reset_less=True)
        m.d.comb += [read.addr.eq(self.i[table.fraction_bits :]), self.o.eq(result)]
        m.d.sync += [
            fraction.eq(self.i[: table.fraction_bits]),
            rise.eq(read.data.slope * fraction),
            base.eq(read.data.base),
            result.eq(base + ((rise + (1 << (table.fraction_bits - 1))) >> table.fraction_bits)),
        ]
        return m
