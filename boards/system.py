"""An accelerator with its memory and the serial link to its host: a whole board but for clock and pins."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..rtl.accelerator import Accelerator
from ..rtl.arch.serial import SerialParameters
from ..rtl.axi import slave_ports
from ..rtl.control import axi4_lite_ports
from ..rtl.flat_ports import connect_ports
from ..rtl.serial.bridge import SerialBridge
from .shared_memory import SharedMemory, chip_of

BLINK_BITS = 24  # of the counter whose highest bit is the first light: some blinks a second


def board_ports() -> dict[str, wiring.Member]:
    """rx, tx: the serial line. lights: blinks; a request is done; the circuit works; its interrupt is high."""
    return {"rx": In(1, init=1), "tx": Out(1, init=1), "lights": Out(4)}


def join_line(m: Module, board: Any, bridge: SerialBridge, *, works: Value, irq: Value) -> None:
    """Connect a board's `board_ports`."""
    alive = Signal(BLINK_BITS)
    m.d.sync += alive.eq(alive + 1)
    m.d.comb += [
        *(bridge.rx.eq(board.rx), board.tx.eq(bridge.tx), bridge.irq.eq(irq)),
        board.lights.eq(Cat(alive[-1], bridge.active, works, irq)),
    ]


class System(wiring.Component):
    """Members
    -------
    rx, tx, lights: as in `board_ports`; the circuit is the machine.
    chip: the memory's pins, where it has some. serial: parameters of its link.

    memory: as of a SharedMemory.
    """

    def __init__(self, accelerator: Accelerator, serial: SerialParameters, memory: wiring.Component) -> None:
        self.serial = serial
        self._accelerator, self._memory = accelerator, memory
        super().__init__({**board_ports(), **chip_of(memory)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus_bytes = self.serial.bus_bytes
        m.submodules.accelerator = accelerator = self._accelerator
        m.submodules.bridge = bridge = SerialBridge(self.serial)
        m.submodules.memory = memory = SharedMemory(bus_bytes, self._memory)
        connect_ports(m, axi4_lite_ports(""), bridge, accelerator, outer="m_axil_", inner="s_axil_")
        for number, master in enumerate((accelerator, bridge)):
            connect_ports(m, slave_ports(bus_bytes, ""), master, memory, outer="m_axi_", inner=f"s{number}_axi_")
        connect_ports(m, chip_of(memory), self, memory)

        works = Signal()
        m.d.sync += works.eq((works | accelerator.activity.any()) & ~accelerator.irq)
        join_line(m, self, bridge, works=works, irq=accelerator.irq)
        return m
