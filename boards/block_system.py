"""A block with the memory for its rows and the serial link to its host: a whole board but for clock and pins."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..rtl.arch.serial import SerialParameters
from ..rtl.axi import SLAVE, slave_ports
from ..rtl.control import axi4_lite_ports
from ..rtl.flat_ports import connect_ports
from ..rtl.row_runner import RowRunner
from ..rtl.serial.bridge import SerialBridge
from .system import BLINK_BITS


class BlockSystem(wiring.Component):
    """Members
    -------
    rx, tx: the serial line. lights: blinks; a request is done; rows are under way; the interrupt is high.
    """

    def __init__(self, runner: RowRunner, serial: SerialParameters) -> None:
        self._runner, self._serial = runner, serial
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "lights": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.runner = runner = self._runner
        m.submodules.bridge = bridge = SerialBridge(self._serial)
        connect_ports(m, axi4_lite_ports(""), bridge, runner, outer="m_axil_", inner="s_axil_")
        connect_ports(m, slave_ports(self._serial.bus_bytes, ""), bridge, runner, outer="m_axi_", inner=SLAVE)
        alive = Signal(BLINK_BITS)
        m.d.sync += alive.eq(alive + 1)
        m.d.comb += [
            *(bridge.rx.eq(self.rx), self.tx.eq(bridge.tx), bridge.irq.eq(runner.irq)),
            self.lights.eq(Cat(alive[-1], bridge.active, runner.running, runner.irq)),
        ]
        return m
