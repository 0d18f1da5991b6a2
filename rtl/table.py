"""Piecewise-linear table lookup (tables: rtl/arch/tables.py, model: sw/golden/table.py)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.tables import LinearTable
from .delay import delay


class TableLookup(wiring.Component):
    """``o = base[index] + round(slope[index] * fraction / 2**fraction_bits)``, `latency` cycles after ``i``."""

    latency = 4

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
        fraction = delay(m, self.i[: table.fraction_bits], 2)
        found = Signal(segment, reset_less=True)  # at once, since blocks are slow
        rise = Signal(signed(table.slope_bits + table.fraction_bits + 1), reset_less=True)
        result = Signal(table.base_bits, reset_less=True)
        m.d.comb += [read.addr.eq(self.i[table.fraction_bits :]), self.o.eq(result)]
        m.d.sync += [
            found.eq(read.data),
            rise.eq(found.slope * fraction),
            result.eq(delay(m, found.base, 1) + ((rise + (1 << (table.fraction_bits - 1))) >> table.fraction_bits)),
        ]
        return m
