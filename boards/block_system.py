"""A block with the memory for its rows and the serial link to its host: a whole board but for clock and pins."""

from amaranth.hdl import Module
from amaranth.lib import wiring

from ..rtl.arch.serial import SerialParameters
from ..rtl.axi import SLAVE, slave_ports
from ..rtl.control import axi4_lite_ports
from ..rtl.flat_ports import connect_ports
from ..rtl.row_runner import RowRunner
from ..rtl.serial.bridge import SerialBridge
from .system import board_ports, join_line


class BlockSystem(wiring.Component):
    """Members
    -------
    rx, tx, lights: as in `board_ports`; the circuit works while rows are under way.
    """

    def __init__(self, runner: RowRunner, serial: SerialParameters) -> None:
        self._runner, self._serial = runner, serial
        super().__init__(board_ports())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.runner = runner = self._runner
        m.submodules.bridge = bridge = SerialBridge(self._serial)
        connect_ports(m, axi4_lite_ports(""), bridge, runner, outer="m_axil_", inner="s_axil_")
        connect_ports(m, slave_ports(self._serial.bus_bytes, ""), bridge, runner, outer="m_axi_", inner=SLAVE)
        join_line(m, self, bridge, works=runner.running, irq=runner.irq)
        return m
