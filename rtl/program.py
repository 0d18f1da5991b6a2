"""Where steps come from: a ROM in the circuit, or external memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from .arch.steps import STEP_BITS, STEP_BYTES
from .axi import ReadBus

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
    """Steps from external memory, from ``program_base + first * STEP_BYTES`` on: a burst each, when the step before has left."""

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__({**_ports(), "program_base": In(EXTERNAL_ADDRESS_BITS), "bus": Out(ReadBus(parameters.bus_bytes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus_bytes = self._p.bus_bytes
        beats = STEP_BYTES // bus_bytes
        address, left = Signal(EXTERNAL_ADDRESS_BITS), Signal(STEP_INDEX_BITS)
        any_left, asked = Signal(), Signal()  # whether there are steps left; whether a burst is under way
        index, collected = Signal(range(beats)), Signal(STEP_BITS, reset_less=True)
        beat, burst, step = self.bus.beat, self.bus.burst, self.steps
        m.d.comb += [
            step.payload.eq(collected),
            burst.valid.eq(any_left & ~asked & ~step.valid),
            burst.payload.address.eq(address),
            burst.payload.len.eq(beats - 1),
            beat.ready.eq(1),
            self.bus_error.eq(beat.valid & (beat.payload.resp != 0)),
        ]
        with m.If(step.ready):
            m.d.sync += step.valid.eq(0)
        with m.If(beat.valid):
            m.d.sync += [collected.eq(Cat(collected, beat.payload.data)[8 * bus_bytes :]), index.eq(index + 1)]
            with m.If(index == beats - 1):
                m.d.sync += [step.valid.eq(1), index.eq(0), asked.eq(0)]
        with m.If(self.start):
            m.d.sync += [address.eq(self.program_base + self.first * STEP_BYTES), left.eq(self.count)]
            m.d.sync += any_left.eq(self.count != 0)
        with m.Elif(burst.valid & burst.ready):
            m.d.sync += [asked.eq(1), address.eq(address + STEP_BYTES), left.eq(left - 1), any_left.eq(left != 1)]
        return m
