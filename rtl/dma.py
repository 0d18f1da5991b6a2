"""The load and store engines: two-dimensional transfers between external memory and the scratchpad."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import AddressGenerator, Reader
from .arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import TRANSFER
from .axi import ReadBus, WriteBus
from .bursts import BurstGenerator
from .engine import EnginePort
from .layouts import record_layout
from .scratchpad import ReadPort, WritePort
from .streams import Queue

_BUFFER = {"memory_base": In(EXTERNAL_ADDRESS_BITS), "memory_size": In(EXTERNAL_ADDRESS_BITS)}


def _scratchpad_loops(c: data.View, loops: data.View) -> list:
    """Walk the transfer's words in the scratchpad, row by row."""
    return [
        loops.base.eq(c.scratchpad),
        loops.count[0].eq(c.words),
        loops.stride[0].eq(1),
        loops.count[1].eq(c.rows),
        loops.stride[1].eq(c.scratchpad_stride),
    ]


class LoadEngine(wiring.Component):
    """External memory to scratchpad.

    Members
    -------
    engine: the sequencer's port. bus: to memory. write: scratchpad port. memory_base, memory_size: the driver's buffer.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "engine": In(EnginePort(TRANSFER)),
                "bus": Out(ReadBus(parameters.bus_bytes)),
                "write": Out(WritePort(parameters.word_bytes)),
                **_BUFFER,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        c = Signal(record_layout(TRANSFER))
        m.submodules.bursts = bursts = BurstGenerator(p, record_layout(TRANSFER))
        m.submodules.addresses = addresses = AddressGenerator((1, 1))
        m.submodules.words = words = Queue(8 * p.word_bytes, depth=4)
        connect(m, bursts.bursts, flipped(self.bus.burst))

        # Beats become words; beats that hold no byte of the word (word not a multiple of the bus) are narrower at the top.
        beat = self.bus.beat
        index = Signal(range(p.beats_per_word))
        collected = Signal(8 * p.bus_bytes * (p.beats_per_word - 1))
        last_beat = index == p.beats_per_word - 1
        taken = beat.valid & beat.ready
        m.d.comb += [
            words.i.payload.eq(Cat(collected, beat.payload.data)),
            words.i.valid.eq(beat.valid & last_beat),
            beat.ready.eq(~last_beat | words.i.ready),
        ]
        with m.If(taken):
            m.d.sync += [index.eq(Mux(last_beat, 0, index + 1)), collected.eq(Cat(collected, beat.payload.data)[8 * p.bus_bytes :])]

        write = self.write.write
        m.d.comb += [
            write.payload.address.eq(addresses.o.payload.address),
            write.payload.word.eq(words.o.payload),
            write.payload.mask.eq(~0),
            write.valid.eq(addresses.o.valid & words.o.valid),
            addresses.o.ready.eq(write.ready & words.o.valid),
            words.o.ready.eq(write.ready & addresses.o.valid),
        ]

        outstanding = Signal(32)  # beats
        sent = self.bus.burst.valid & self.bus.burst.ready
        m.d.sync += outstanding.eq(outstanding + Mux(sent, self.bus.burst.payload.len + 1, 0) - taken)
        m.d.comb += [
            bursts.memory_base.eq(self.memory_base),
            bursts.memory_size.eq(self.memory_size),
            bursts.command.payload.eq(c),
            *_scratchpad_loops(c, addresses.i.payload),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.engine.command.ready.eq(1)
                m.d.sync += c.eq(self.engine.command.payload)
                with m.If(self.engine.command.valid):
                    m.next = "START"
            with m.State("START"):
                illegal = (c.rows == 0) | (c.words == 0)
                m.d.comb += [bursts.command.valid.eq(~illegal), addresses.i.valid.eq(~illegal)]
                m.next = "RUN"
                with m.If(illegal):
                    m.d.comb += [self.engine.error.eq(ErrorCode.ILLEGAL_STEP), self.engine.done.eq(1)]
                    m.next = "IDLE"
            with m.State("RUN"):
                with m.If(write.valid & write.ready & addresses.o.payload.last):
                    m.next = "DONE"
                with m.If(bursts.outside):
                    m.d.comb += self.engine.error.eq(ErrorCode.EXTERNAL_ADDRESS)
                    m.next = "ABANDON"
            with m.State("ABANDON"), m.If(outstanding == 0):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.engine.done.eq(1)
                m.next = "IDLE"
        with m.If(taken & (beat.payload.resp != 0)):
            m.d.comb += self.engine.error.eq(ErrorCode.BUS_READ)
        return m


class StoreEngine(wiring.Component):
    """Scratchpad to external memory.

    Members
    -------
    engine: the sequencer's port. bus: to memory. read: scratchpad port. memory_base, memory_size: the driver's buffer.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "engine": In(EnginePort(TRANSFER)),
                "bus": Out(WriteBus(parameters.bus_bytes)),
                "read": Out(ReadPort(parameters.word_bytes)),
                **_BUFFER,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        c = Signal(record_layout(TRANSFER))
        m.submodules.bursts = bursts = BurstGenerator(p, record_layout(TRANSFER))
        m.submodules.reader = reader = Reader(p.word_bytes, steps=(1, 1))
        connect(m, reader.port, flipped(self.read))
        connect(m, bursts.bursts, flipped(self.bus.burst))

        abandoned = Signal()  # words that no burst asked for are read but not sent
        owed = Signal(16)  # beats of bursts sent
        unanswered = Signal(16)  # bursts
        index = Signal(range(p.beats_per_word))
        last_beat = index == p.beats_per_word - 1
        beat = self.bus.beat
        dropped = abandoned & (owed == 0)
        moved = reader.words.valid & ((beat.ready & (owed != 0)) | dropped)
        padded_word = Cat(reader.words.payload, Const(0, 8 * (p.slot_bytes - p.word_bytes)))
        m.d.comb += [
            beat.valid.eq(reader.words.valid & (owed != 0)),
            beat.payload.data.eq(padded_word.word_select(index, 8 * p.bus_bytes)),
            beat.payload.strb.eq(~0),
            reader.words.ready.eq(moved & last_beat),
            self.bus.response.ready.eq(1),
        ]
        with m.If(moved):
            m.d.sync += index.eq(Mux(last_beat, 0, index + 1))

        sent = self.bus.burst.valid & self.bus.burst.ready
        m.d.sync += [
            owed.eq(owed + Mux(sent, self.bus.burst.payload.len + 1, 0) - (moved & ~dropped)),
            unanswered.eq(unanswered + sent - self.bus.response.valid),
        ]
        words_left, rows_left = Signal.like(c.words), Signal.like(c.rows)
        m.d.comb += [
            bursts.memory_base.eq(self.memory_base),
            bursts.memory_size.eq(self.memory_size),
            bursts.command.payload.eq(c),
            *_scratchpad_loops(c, reader.loops.payload),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.engine.command.ready.eq(1)
                command = self.engine.command.payload
                m.d.sync += [c.eq(command), words_left.eq(command.words), rows_left.eq(command.rows), abandoned.eq(0)]
                with m.If(self.engine.command.valid):
                    m.next = "START"
            with m.State("START"):
                illegal = (c.rows == 0) | (c.words == 0)
                m.d.comb += [bursts.command.valid.eq(~illegal), reader.loops.valid.eq(~illegal)]
                m.next = "RUN"
                with m.If(illegal):
                    m.d.comb += [self.engine.error.eq(ErrorCode.ILLEGAL_STEP), self.engine.done.eq(1)]
                    m.next = "IDLE"
            with m.State("RUN"):
                with m.If(bursts.outside):
                    m.d.comb += self.engine.error.eq(ErrorCode.EXTERNAL_ADDRESS)
                    m.d.sync += abandoned.eq(1)
                with m.If(moved & last_beat):
                    m.d.sync += words_left.eq(words_left - 1)
                    with m.If(words_left == 1):
                        m.d.sync += [words_left.eq(c.words), rows_left.eq(rows_left - 1)]
                        with m.If(rows_left == 1):
                            m.next = "ANSWERS"
            with m.State("ANSWERS"), m.If(unanswered == 0):
                m.d.comb += self.engine.done.eq(1)
                m.next = "IDLE"
        with m.If(self.bus.response.valid & (self.bus.response.payload != 0)):
            m.d.comb += self.engine.error.eq(ErrorCode.BUS_WRITE)
        return m
