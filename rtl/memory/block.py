"""A memory of the chip's own blocks behind AXI4."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arch.checks import require
from ..axi import slave_ports
from ..delay import delay
from ..flat_ports import connect_ports
from ..streams import Pipelined
from ..word_memory import WordMemory
from .beats import beat_layout
from .slave import OKAY, SLVERR, Slave, answer_layout, write_layout


class _Reader(wiring.Component):
    """Beats to their words, in a fixed time; ``write`` is done in its cycle."""

    latency = WordMemory.latency

    def __init__(self, bus_bytes: int, size: int, init: bytes, *, id_bits: int) -> None:
        self._bus_bytes, self._size, self._init = bus_bytes, size, init
        super().__init__(
            {
                **{"i": In(beat_layout(bus_bytes, id_bits)), "o": Out(answer_layout(bus_bytes, id_bits))},
                **{"write": In(write_layout(bus_bytes, id_bits)), "writes": In(1)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self._size // self._bus_bytes
        m.submodules.memory = memory = WordMemory(words=words, word_bytes=self._bus_bytes, init=self._init)
        beat, to = delay(m, self.i, self.latency), self.write.beat
        m.d.comb += [
            *(memory.read_address.eq(self.i.place), memory.write_address.eq(to.place), memory.write_word.eq(self.write.data)),
            memory.mask.eq(Mux(self.writes & ~to.outside, self.write.strb, 0)),
            *(
                self.o.data.eq(memory.word),
                self.o.resp.eq(Mux(beat.outside, SLVERR, OKAY)),
                self.o.last.eq(beat.last),
                self.o.id.eq(beat.id),
            ),
        ]
        return m


class BlockMemory(wiring.Component):
    """An AXI4 slave with ``size`` bytes from address 0 on; beats beyond are answered with SLVERR. Bursts are INCR and of full width.
    Reads and writes pass a beat a cycle each, also from one burst to the next one. A read that comes after a write's response sees it.

    bus_bytes: of a beat, a power of two. size: a multiple of it. init: the first bytes; the others are zero. id_bits: of ids. Raises
    ParameterError.
    """

    def __init__(self, bus_bytes: int, size: int, init: bytes = b"", *, id_bits: int = 1) -> None:
        require(len(init) <= size, "init", f"of at most size ({size}) bytes", f"{len(init)} bytes")
        self._slave = Slave(bus_bytes, size=size, id_bits=id_bits)
        init += bytes(-len(init) % bus_bytes)
        self._reader = _Reader(bus_bytes, size, init, id_bits=id_bits)
        self._ports = slave_ports(bus_bytes, id_bits=id_bits)
        super().__init__(self._ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slave, m.submodules.reads = slave, reads = self._slave, Pipelined(self._reader)
        connect_ports(m, self._ports, self, slave)
        wiring.connect(m, slave.reads, reads.i)
        wiring.connect(m, reads.o, slave.answers)
        m.d.comb += [self._reader.write.eq(slave.writes.payload), self._reader.writes.eq(slave.writes.valid), slave.writes.ready.eq(1)]
        return m
