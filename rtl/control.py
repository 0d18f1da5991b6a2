"""An AXI4-Lite slave with registers of rtl/arch/registers.py."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arch.registers import Access, Register

ADDRESS_BITS = 16


def axi4_lite_ports(prefix: str = "s_axil_") -> dict[str, wiring.Member]:
    """The flat ports of an AXI4-Lite slave of 32 bits."""
    members = {
        **{"awaddr": In(ADDRESS_BITS), "awprot": In(3), "awvalid": In(1), "awready": Out(1)},
        **{"wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1)},
        **{"bresp": Out(2), "bvalid": Out(1), "bready": In(1)},
        **{"araddr": In(ADDRESS_BITS), "arprot": In(3), "arvalid": In(1), "arready": Out(1)},
        **{"rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)},
    }
    return {prefix + name: member for name, member in members.items()}


class ControlRegisters(wiring.Component):
    """Members
    -------
    <name>: each register; READ ones come in, WRITE ones go out, TRIGGER ones go out for one cycle. Of CLEAR ones the bits to set come in.
    awaddr ... rready: AXI4-Lite. Reads of unmapped offsets give 0, writes to them or to READ registers are ignored.
    """

    def __init__(self, registers: Sequence[Register]) -> None:
        self._registers = registers
        values = {r.name: (In if r.access in (Access.READ, Access.CLEAR) else Out)(r.bits) for r in registers}
        super().__init__({**values, **axi4_lite_ports("")})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Ready comes from a register, a cycle after valid, which AXI has hold until then.
        write, read = Signal(), Signal()
        m.d.sync += [write.eq(self.awvalid & self.wvalid & ~write & ~self.bvalid), read.eq(self.arvalid & ~read & ~self.rvalid)]
        m.d.comb += [self.awready.eq(write), self.wready.eq(write), self.arready.eq(read)]
        with m.If(write):
            m.d.sync += self.bvalid.eq(1)
        with m.Elif(self.bready):
            m.d.sync += self.bvalid.eq(0)
        enabled = Cat(*(self.wstrb[i].replicate(8) for i in range(4)))
        shown: dict[int, Value] = {}
        for register in self._registers:
            value = getattr(self, register.name)
            selected, written = write & (self.awaddr[2:] == register.offset >> 2), self.wdata & enabled
            if register.access is Access.TRIGGER:
                m.d.sync += value.eq(Mux(selected, written, 0))
                continue
            if register.access is Access.WRITE:
                with m.If(selected):
                    m.d.sync += value.eq(written | value & ~enabled)
            elif register.access is Access.CLEAR:
                found, value = value, Signal(register.bits, name=f"{register.name}_since")
                m.d.sync += value.eq(value & ~Mux(selected, written, 0) | found)
            shown[register.offset >> 2] = value

        with m.If(read):
            m.d.sync += self.rvalid.eq(1)
            with m.Switch(self.araddr[2:]):
                for word, value in shown.items():
                    with m.Case(word):
                        m.d.sync += self.rdata.eq(value)
                with m.Default():
                    m.d.sync += self.rdata.eq(0)
        with m.Elif(self.rready):
            m.d.sync += self.rvalid.eq(0)
        return m
