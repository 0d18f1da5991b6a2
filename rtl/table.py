"""Piecewise-linear table lookups (tables: rtl/arch/tables.py, model: sw/golden/table.py)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.tables import LinearTable
from .delay import delay


def pairs(lanes: int) -> list[range]:
    """Lanes that share a table: a block of memory has two ports."""
    return [range(first, min(first + 2, lanes)) for first in range(0, lanes, 2)]


class TableLookup(wiring.Component):
    """``o = base[index] + round(slope[index] * fraction / 2**fraction_bits)`` for each of ``count`` inputs, `latency` cycles later.

    count: 1 or 2, the ports of a block of memory.
    """

    latency = 4

    def __init__(self, table: LinearTable, count: int = 1) -> None:
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
            found = Signal(segment, reset_less=True)  # at once, since blocks are slow
            rise = Signal(signed(table.slope_bits + table.fraction_bits + 1), reset_less=True)
            result = Signal(table.base_bits, reset_less=True)
            m.d.comb += [read.addr.eq(argument[table.fraction_bits :]), value.eq(result)]
            m.d.sync += [
                found.eq(read.data),
                rise.eq(found.slope * delay(m, argument[: table.fraction_bits], 2)),
                result.eq(delay(m, found.base, 1) + ((rise + (1 << (table.fraction_bits - 1))) >> table.fraction_bits)),
            ]
        return m
