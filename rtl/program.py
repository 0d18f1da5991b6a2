"""Where steps come from: a ROM in the circuit, or external memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from .arch.steps import STEP_BITS, STEP_BYTES
from .axi import ReadBus
from .streams import Queue

STEP_INDEX_BITS = 32


def _ports() -> dict[str, wiring.Member]:
    return {
        "start": In(1),
        "first": In(STEP_INDEX_BITS),
        "count": In(STEP_INDEX_BITS),
        "steps": Out(stream.Signature(STEP_BITS)),
        "bus_error": Out(1),
    }


class RomSource(wiring.Component):
    """Steps from a ROM. ``start`` begins at ``first``; an index beyond the program gives a step of zeros, which is illegal."""

    def __init__(self, program: bytes) -> None:
        self._steps = [int.from_bytes(program[i : i + STEP_BYTES], "little") for i in range(0, len(program), STEP_BYTES)]
        super().__init__(_ports())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = max(2, len(self._steps))
        m.submodules.rom = rom = memory.Memory(shape=STEP_BITS, depth=depth, init=self._steps)
        read = rom.read_port()
        index, left = Signal(STEP_INDEX_BITS), Signal(STEP_INDEX_BITS)
        following = Signal(STEP_INDEX_BITS)
        inside = Signal()
        m.d.comb += [following.eq(index), read.addr.eq(following)]
        m.d.comb += self.steps.payload.eq(Mux(inside, read.data, 0))
        with m.If(self.start):
            m.d.comb += following.eq(self.first)
            m.d.sync += left.eq(self.count)
        with m.Elif(self.steps.valid & self.steps.ready):
            m.d.comb += following.eq(index + 1)
            m.d.sync += left.eq(left - 1)
        m.d.comb += self.steps.valid.eq(left != 0)
        m.d.sync += [index.eq(following), inside.eq(following < len(self._steps))]
        return m


class MemorySource(wiring.Component):
    """Steps from external memory, from ``program_base + first * STEP_BYTES`` on, fetched ahead one burst for each step."""

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__({**_ports(), "program_base": In(EXTERNAL_ADDRESS_BITS), "bus": Out(ReadBus(parameters.bus_bytes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus_bytes = self._p.bus_bytes
        beats = STEP_BYTES // bus_bytes
        m.submodules.queue = queue = Queue(STEP_BITS, depth=2)
        address, left = Signal(EXTERNAL_ADDRESS_BITS), Signal(STEP_INDEX_BITS)
        asked = Signal()  # a burst is under way
        index = Signal(range(beats))
        collected = Signal(STEP_BITS - 8 * bus_bytes)
        beat, burst = self.bus.beat, self.bus.burst
        m.d.comb += [
            burst.valid.eq((left != 0) & ~asked & (queue.level == 0)),
            burst.payload.address.eq(address),
            burst.payload.len.eq(beats - 1),
            queue.i.payload.eq(Cat(collected, beat.payload.data)),
            queue.i.valid.eq(beat.valid & (index == beats - 1)),
            beat.ready.eq(1),
            self.bus_error.eq(beat.valid & (beat.payload.resp != 0)),
            self.steps.payload.eq(queue.o.payload),
            self.steps.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.steps.ready),
        ]
        with m.If(beat.valid):
            m.d.sync += collected.eq(Cat(collected, beat.payload.data)[8 * bus_bytes :])
            m.d.sync += index.eq(Mux(index == beats - 1, 0, index + 1))
            with m.If(index == beats - 1):
                m.d.sync += asked.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(self.program_base + self.first * STEP_BYTES), left.eq(self.count)]
        with m.Elif(burst.valid & burst.ready):
            m.d.sync += [asked.eq(1), address.eq(address + STEP_BYTES), left.eq(left - 1)]
        return m
