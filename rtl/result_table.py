"""Any function of the compute unit's 8-bit results: a table for each column, loaded with the command (model: sw/golden/machine.py)."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .arch.activation import TABLE_ENTRIES
from .arch.parameters import MachineParameters
from .delay import delay
from .result_writer import results_layout


def entries_at_once(p: MachineParameters) -> int:
    """Entries that are written at once: as wide as a block of memory allows."""
    return 4 if p.word_bytes % 4 == 0 else 2


def entries_layout(p: MachineParameters) -> data.StructLayout:
    """Entries of the table of the command that the bit ``command`` names, from ``index * entries_at_once`` on."""
    at_once = entries_at_once(p)
    return data.StructLayout({"command": 1, "index": range(TABLE_ENTRIES // at_once), "entries": data.ArrayLayout(8, at_once)})


class ResultTable(wiring.Component):
    """``o = table[i]`` of each result where ``tabulated``, else ``o = i``, `latency` cycles later.

    There is a table for each of the last two commands, so that one is loaded while the other is used.

    Members
    -------
    i: results, of which the lowest 8 bits count where ``tabulated``. command: the bit that names their command. o: results.
    write, write_valid: entries of all columns' tables.
    """

    latency = 2

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "i": In(results_layout(parameters.cols)),
                "tabulated": In(1),
                "command": In(1),
                "o": Out(results_layout(parameters.cols)),
                "write": In(entries_layout(parameters)),
                "write_valid": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at_once = entries_at_once(self._p)
        tabulated = delay(m, self.tabulated, 2)
        for col, result in enumerate(self.i):
            table = memory.Memory(shape=data.ArrayLayout(8, at_once), depth=2 * TABLE_ENTRIES // at_once, init=[])
            m.submodules[f"table{col}"] = table
            read, write = table.read_port(), table.write_port()
            entry = Cat(result[:7], ~result[7])  # the first is that of -128
            part = entry[: at_once.bit_length() - 1]
            found = Signal(read.data.shape(), name=f"found{col}", reset_less=True)  # a register at once, since blocks are slow
            m.d.comb += [
                read.addr.eq(Cat(entry[len(part) :], self.command)),
                write.addr.eq(Cat(self.write.index, self.write.command)),
                write.data.eq(self.write.entries),
                write.en.eq(self.write_valid),
                self.o[col].eq(Mux(tabulated, found[delay(m, part, 2)].as_signed(), delay(m, result, 2))),
            ]
            m.d.sync += found.eq(read.data)
        return m
