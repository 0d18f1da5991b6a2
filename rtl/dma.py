"""The load and store engines: two-dimensional transfers between external memory and the scratchpad."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import Reader, Writer
from .arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import TRANSFER, Engine
from .axi import ReadBus, WriteBus
from .bursts import BurstGenerator
from .delay import delay
from .engine import EnginePort
from .gather import ListedTransfers
from .layouts import record_layout
from .places import stays_positive
from .scratchpad import ReadPort, WritePort
from .streams import Queue


def _ports(engine: Engine, parameters: MachineParameters) -> dict[str, wiring.Member]:
    base, size = In(EXTERNAL_ADDRESS_BITS), In(EXTERNAL_ADDRESS_BITS)
    return {"engine": In(EnginePort(engine, parameters)), "memory_base": base, "memory_size": size}


def _control(
    m: Module,
    engine: "LoadEngine | StoreEngine",
    loops: stream.Interface,
    *,
    moved: Value,
    pending: Value,
    bus_error: Value,
    code: ErrorCode,
    listed: ListedTransfers | None = None,
) -> BurstGenerator:
    """Run commands: start the bursts and the walk through the scratchpad, wait for the last word and then for the bus.

    moved: the last word is in its place. pending: what the bus still owes. bus_error: reported as ``code``. listed: makes transfers of
    the commands.
    """
    port = engine.engine
    c = Signal(port.command.payload.shape())
    m.submodules.bursts = bursts = BurstGenerator(engine.parameters, record_layout(TRANSFER))
    begin, illegal = bursts.command, (c.rows == 0) | (c.words == 0)
    if listed is not None:
        connect(m, listed.transfers, bursts.command)
        begin, illegal = listed.command, illegal | (c.gathers & c.rows[-1])  # in bytes, a list must fit the loops' counters
    m.d.comb += [
        bursts.memory_base.eq(engine.memory_base),
        bursts.memory_size.eq(engine.memory_size),
        *(begin.payload[name].eq(c[name]) for name, _ in begin.payload.shape()),
        loops.payload.base.address.eq(c.scratchpad),
        loops.payload.count[0].eq(c.words),
        loops.payload.stride[0].address.eq(1),
        loops.payload.count[1].eq(c.rows),
        loops.payload.stride[1].address.eq(c.scratchpad_stride),
    ]
    with m.FSM():
        with m.State("IDLE"):
            m.d.comb += [port.command.ready.eq(1), port.begun.eq(port.command.valid)]
            m.d.sync += c.eq(port.command.payload)
            with m.If(port.command.valid):
                m.next = "START"
        with m.State("START"):
            m.d.comb += [begin.valid.eq(~illegal), loops.valid.eq(~illegal)]
            m.next = "MOVE"
            with m.If(illegal):
                m.d.comb += [port.error.eq(ErrorCode.ILLEGAL_STEP), port.done.eq(1)]
                m.next = "IDLE"
        with m.State("MOVE"), m.If(moved):
            m.next = "SETTLE"
        with m.State("SETTLE"), m.If(pending == 0):
            m.d.comb += port.done.eq(1)
            m.next = "IDLE"
    with m.If(bursts.outside):
        m.d.comb += port.error.eq(ErrorCode.EXTERNAL_ADDRESS)
    with m.Elif(bus_error):
        m.d.comb += port.error.eq(code)
    return bursts


class LoadEngine(wiring.Component):
    """External memory to scratchpad.

    Members
    -------
    engine: the sequencer's port. bus: to memory. write: scratchpad port; read: too, for lists of rows, where the machine has pruning.
    memory_base, memory_size: the driver's buffer.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self.parameters = parameters
        members = {"bus": Out(ReadBus(parameters.bus_bytes)), "write": Out(WritePort(parameters.word_bytes))}
        if parameters.pruning:
            members["read"] = Out(ReadPort(parameters.word_bytes))
        super().__init__(_ports(Engine.LOAD, parameters) | members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        m.submodules.words = words = Queue(8 * p.word_bytes, depth=4)
        m.submodules.writer = writer = Writer(p.word_bytes, steps=(1, 1))
        connect(m, words.o, writer.words)
        connect(m, writer.port, flipped(self.write))

        # Beats become words; the last beat's high bytes are padding where a word is not a multiple of the bus.
        beat, burst = self.bus.beat, self.bus.burst
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

        # Beats asked for: of bursts, of which the gate limits the number. It may be a cycle late, since the words are later.
        outstanding, asked = Signal(16), Signal(len(burst.payload.len) + 1)
        m.d.sync += asked.eq(Mux(burst.valid & burst.ready, burst.payload.len + 1, 0))
        m.d.sync += outstanding.eq(outstanding + asked - delay(m, taken, 1, reset_less=False))
        moved, bus_error = Signal(), taken & (beat.payload.resp != 0)
        listed = ListedTransfers(p.word_bytes) if p.pruning else None
        bursts = _control(
            m,
            self,
            writer.loops,
            moved=moved,
            pending=outstanding,
            bus_error=bus_error,
            code=ErrorCode.BUS_READ,
            listed=listed,
        )
        if listed is not None:
            m.submodules.listed = listed
            connect(m, listed.read, flipped(self.read))
            m.d.sync += listed.stop.eq(listed.stop | bursts.outside)
        m.d.comb += moved.eq(writer.done | bursts.outside)  # after an address outside of the buffer no more words come
        connect(m, bursts.bursts, flipped(burst))
        return m


class StoreEngine(wiring.Component):
    """Scratchpad to external memory.

    Members
    -------
    engine: the sequencer's port. bus: to memory. read: scratchpad port. memory_base, memory_size: the driver's buffer.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self.parameters = parameters
        members = {"bus": Out(WriteBus(parameters.bus_bytes)), "read": Out(ReadPort(parameters.word_bytes))}
        super().__init__(_ports(Engine.STORE, parameters) | members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        m.submodules.reader = reader = Reader(p.word_bytes, steps=(1, 1))
        connect(m, reader.port, flipped(self.read))
        with m.If(self.engine.command.ready):
            m.d.sync += reader.frees.eq(self.engine.command.payload.scratchpad_frees)

        beat, burst, response = self.bus.beat, self.bus.burst, self.bus.response
        abandoned = Signal()  # words that no burst asked for are read but not sent
        owed, owes = Signal(16), Signal()  # beats of bursts sent; whether there are any
        unanswered = Signal(16)  # bursts
        index = Signal(range(p.beats_per_word))
        last_beat = index == p.beats_per_word - 1
        dropped = abandoned & ~owes
        moved = reader.words.valid & ((beat.ready & owes) | dropped)
        delivered = moved & ~dropped
        padded_word = Cat(reader.words.payload.word, Const(0, 8 * (p.slot_bytes - p.word_bytes)))
        m.d.comb += [
            beat.valid.eq(reader.words.valid & owes),
            beat.payload.data.eq(padded_word.word_select(index, 8 * p.bus_bytes)),
            beat.payload.strb.eq(~0),
            reader.words.ready.eq(moved & last_beat),
            response.ready.eq(1),
        ]
        with m.If(moved):
            m.d.sync += index.eq(Mux(last_beat, 0, index + 1))
        sent = burst.valid & burst.ready
        m.d.sync += [
            owed.eq(owed + Mux(sent, burst.payload.len + 1, 0) - delivered),
            owes.eq(stays_positive(owed, more=sent, one_less=delivered)),
            unanswered.eq(unanswered + sent - response.valid),
        ]
        bus_error = response.valid & (response.payload != 0)
        last_word = moved & last_beat & reader.words.payload.note.all()
        bursts = _control(m, self, reader.loops, moved=last_word, pending=unanswered, bus_error=bus_error, code=ErrorCode.BUS_WRITE)
        with m.If(bursts.outside):
            m.d.sync += abandoned.eq(1)
        with m.Elif(self.engine.done):
            m.d.sync += abandoned.eq(0)
        connect(m, bursts.bursts, flipped(burst))
        return m
