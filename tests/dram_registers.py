"""A design with the ports of an accelerator with DRAM, for the tests of what is around it: a register for each channel, of which a value
that is written is a command for one cycle.

Registers: 4 n the command to channel n; DATA what all data buses carry to the DRAM, over and over; ANSWERS how often data came from it, and
ANSWER their lowest bytes, the last time.
"""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.rtl.arch.dram import Dram
from celosia.rtl.arch.registers import Access, Register
from celosia.rtl.axi import axi4_ports
from celosia.rtl.control import ControlRegisters, axi4_lite_ports
from celosia.rtl.pim.controller import outside_ports

DATA, ANSWERS, ANSWER = 0x80, 0x84, 0x88


class DramRegisters(wiring.Component):
    """See the module. dram: whose commands have at most 32 bits."""

    def __init__(self, dram: Dram) -> None:
        self._dram = dram
        super().__init__({"irq": Out(1), "activity": Out(2), **axi4_lite_ports(), **axi4_ports(8), **outside_ports(dram)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channels = range(self._dram.channels)
        commands = [Register(f"command{i}", 4 * i, Access.TRIGGER, "") for i in channels]
        others = (
            Register("data", DATA, Access.WRITE, ""),
            *(Register(n, o, Access.READ, "") for n, o in (("answers", ANSWERS), ("answer", ANSWER))),
        )
        m.submodules.registers = registers = ControlRegisters([*commands, *others])
        for name, member in axi4_lite_ports("").items():
            inner, outer = getattr(registers, name), getattr(self, f"s_axil_{name}")
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        for i in channels:
            dfi = getattr(self, f"dfi{i}")
            m.d.comb += [
                dfi.command.eq(getattr(registers, f"command{i}")),
                dfi.write_data.eq(registers.data.replicate(self._dram.column_bytes // 4)),
            ]
            with m.If(dfi.read_valid):
                m.d.sync += [registers.answers.eq(registers.answers + 1), registers.answer.eq(dfi.read_data)]
        return m
