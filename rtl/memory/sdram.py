"""An SDRAM chip behind AXI4."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..arch.checks import require
from ..arch.sdram import Sdram
from ..axi import slave_ports
from ..delay import delay
from ..flat_ports import connect_ports
from .sdram_layouts import SdramPins
from .sdram_reader import WordReader
from .sdram_sequencer import SdramSequencer
from .slave import Slave

BUS_BYTES = 4, 8


class SdramController(wiring.Component):
    """An AXI4 slave with a chip's bytes from address 0 on; beats beyond are answered with SLVERR. Bursts are INCR and of full width. A read
    that comes after a write's response sees it. Until the chip has been started, which takes its power-up time, bursts wait.

    Members
    -------
    s_axi_*: AXI4. chip: its pins, all from registers, the incoming data bus into one: with the chip on the same clock edge, a READ on the
    pins in a cycle has its word on ``dq.i`` ``cas_latency`` cycles later, or with ``capture`` so many later still.

    bus_bytes: 4 or 8. id_bits: of ids. Raises ParameterError.
    """

    def __init__(self, chip: Sdram, bus_bytes: int, *, id_bits: int = 1, capture: int = 0) -> None:
        require(bus_bytes in BUS_BYTES, "bus_bytes", "4 or 8", bus_bytes)
        require(capture in range(4), "capture", "an integer in 0..3", capture)
        self._slave = Slave(bus_bytes, size=chip.size, id_bits=id_bits)
        self._sequencer = SdramSequencer(chip, bus_bytes, id_bits=id_bits)
        to_pins, from_pins = 1, 1
        self._reader = WordReader(chip, bus_bytes, id_bits=id_bits, latency=to_pins + chip.cas_latency + capture + from_pins)
        self._ports = slave_ports(bus_bytes, id_bits=id_bits)
        super().__init__({**self._ports, "chip": Out(SdramPins(chip))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slave, m.submodules.sequencer, m.submodules.reader = slave, sequencer, reader = (
            *(self._slave, self._sequencer, self._reader),
        )
        connect_ports(m, self._ports, self, slave)
        wiring.connect(m, slave.reads, sequencer.reads)
        wiring.connect(m, slave.writes, sequencer.writes)
        wiring.connect(m, reader.answers, slave.answers)
        pins, command = self.chip, sequencer.command
        m.d.comb += [
            *(sequencer.room.eq(reader.room), reader.begins.eq(sequencer.begins), reader.asked.eq(sequencer.asked)),
            reader.word.eq(delay(m, pins.dq.i, 1)),
        ]
        m.d.sync += [
            *(pins.cke.eq(1), pins.cs_n.eq(0), Cat(pins.we_n, pins.cas_n, pins.ras_n).eq(command.command)),
            *(pins.a.eq(command.a), pins.ba.eq(command.ba), pins.dqm.eq(command.dqm)),
            *(pins.dq.o.eq(command.word), pins.dq.oe.eq(command.drive)),
        ]
        return m
