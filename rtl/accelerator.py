"""A whole machine: sequencer, engines, scratchpad, bus gates and registers."""

from amaranth.hdl import Cat, Module, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect

from .arch.parameters import VERSION, MachineParameters, configuration_hash
from .arch.registers import IDENTITY, REGISTERS
from .arch.steps import Engine
from .axi import ReadGate, WriteGate, axi4_ports
from .compute import ComputeUnit
from .control import ControlRegisters, axi4_lite_ports
from .dma import LoadEngine, StoreEngine
from .program import MemorySource, RomSource
from .scratchpad import Scratchpad
from .sequencer import Sequencer
from .vector import VectorEngine


class Accelerator(wiring.Component):
    """A machine of the given parameters; with ``program`` its steps lie in a ROM, else in external memory.

    Members
    -------
    s_axil_*: AXI4-Lite slave for control. m_axi_*: AXI4 master to memory. irq: high from the end of a run until acknowledged.
    activity: for a timeline: for each engine whether work on a step begins in this cycle, then for each whether a step ends.
    """

    def __init__(self, parameters: MachineParameters, *, program: bytes | None = None) -> None:
        self.parameters, self.program = parameters, program
        super().__init__({**axi4_lite_ports(), **axi4_ports(parameters.bus_bytes), "irq": Out(1), "activity": Out(2 * len(Engine))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        m.submodules.control = control = ControlRegisters(REGISTERS)
        m.submodules.sequencer = sequencer = Sequencer(p)
        resettable = ResetInserter(sequencer.core_reset)
        source = MemorySource(p) if self.program is None else RomSource(self.program)
        engines = {Engine.LOAD: LoadEngine(p), Engine.STORE: StoreEngine(p), Engine.COMPUTE: ComputeUnit(p), Engine.VECTOR: VectorEngine(p)}
        m.submodules.source = resettable(source)
        for engine, component in engines.items():
            m.submodules[engine.name.lower()] = resettable(component)
            connect(m, getattr(sequencer, f"engine{engine}"), component.engine)
        connect(m, source.steps, sequencer.steps)

        load, store, compute, vector = (engines[engine] for engine in Engine)
        readers = [  # with what says that the engine's older step uses the port
            (Engine.STORE, store.read, 0),
            (Engine.COMPUTE, compute.read_a, compute.read_a_older),
            (Engine.COMPUTE, compute.read_b, compute.read_b_older),
            *([(Engine.COMPUTE, compute.read_r, compute.read_r_older)] if p.residual else []),
            (Engine.VECTOR, vector.read_a, 0),
            (Engine.VECTOR, vector.read_b, 0),
        ]
        writers = [(Engine.LOAD, load.write, 0), (Engine.COMPUTE, compute.write, compute.write_older), (Engine.VECTOR, vector.write, 0)]
        scratchpad = Scratchpad(p, readers=len(readers), writers=len(writers))
        m.submodules.scratchpad = resettable(scratchpad)
        for i, (_, port, _) in enumerate(readers):
            connect(m, port, getattr(scratchpad, f"read{i}"))
        for i, (_, port, _) in enumerate(writers):
            connect(m, port, getattr(scratchpad, f"write{i}"))
        owners = [engine for engine, _, _ in readers + writers]
        outside, older = scratchpad.out_of_range, Cat(Value.cast(flag)[0] for _, _, flag in readers + writers)
        conflicts = Cat(scratchpad.read_conflict, scratchpad.write_conflict)
        for engine in Engine:
            mine = [i for i, owner in enumerate(owners) if owner is engine]
            name = engine.name.lower()
            m.d.comb += [
                sequencer.scratchpad_error[engine].eq(Cat(*(outside[i] for i in mine)).any()),
                sequencer.scratchpad_older[engine].eq(Cat(*(outside[i] & older[i] for i in mine)).any()),
            ]
            self._count(m, control, f"{name}_busy", sequencer, sequencer.at_work[engine])
            self._count(m, control, f"{name}_conflicts", sequencer, Cat(*(conflicts[i] for i in mine)).any())
        self._count(m, control, "mac_cycles", sequencer, compute.mac_cycle)
        self._count(m, control, "cycles", sequencer, sequencer.running)

        masters = [load.bus] + ([source.bus] if isinstance(source, MemorySource) else [])
        m.submodules.read_gate = reads = ReadGate(p.bus_bytes, masters=len(masters))
        m.submodules.write_gate = writes = WriteGate(p.bus_bytes)
        for i, bus in enumerate(masters):
            connect(m, bus, getattr(reads, f"master{i}"))
        connect(m, store.bus, writes.master)
        self._join(m, "m_axi_", axi4_ports(p.bus_bytes, ""), {"ar": reads, "r": reads, "aw": writes, "w": writes, "b": writes})
        self._join(m, "s_axil_", axi4_lite_ports(""), dict.fromkeys(("ar", "r", "aw", "w", "b"), control))

        state = Cat(sequencer.running, sequencer.done, sequencer.failed, reads.draining | writes.draining)
        m.d.comb += self.activity.eq(sequencer.activity)
        identity = configuration_hash(p, self.program)
        m.d.comb += [
            control.identity.eq(IDENTITY),
            control.version.eq(VERSION[0] << 16 | VERSION[1]),
            control.hash_low.eq(identity & 0xFFFF_FFFF),
            control.hash_high.eq(identity >> 32),
            control.status.eq(state | sequencer.busy << 8),
            control.error.eq(sequencer.error_code | sequencer.error_engine << 8),
            control.error_step.eq(sequencer.error_step),
            control.steps_completed.eq(sequencer.completed),
            sequencer.start.eq(control.control[0] & ~sequencer.running & ~sequencer.core_reset),
            sequencer.reset.eq(control.control[1]),
            sequencer.first.eq(control.program_first),
            sequencer.count.eq(control.program_count),
            sequencer.watchdog.eq(control.watchdog),
            sequencer.fetch_error.eq(source.bus_error),
            source.start.eq(sequencer.start),
            source.first.eq(control.program_first),
            source.count.eq(control.program_count),
            reads.flush.eq(sequencer.core_reset),
            writes.flush.eq(sequencer.core_reset),
        ]
        if isinstance(source, MemorySource):
            m.d.comb += source.program_base.eq(control.program_base)
        for dma in (load, store):
            m.d.comb += [dma.memory_base.eq(control.memory_base), dma.memory_size.eq(control.memory_size)]
        with m.If(sequencer.ended & control.interrupt_enable):
            m.d.sync += self.irq.eq(1)
        with m.Elif(control.control[2] | control.control[1]):
            m.d.sync += self.irq.eq(0)
        return m

    def _count(self, m: Module, control: ControlRegisters, register: str, sequencer: Sequencer, event: Value) -> None:
        """Count the cycles of a run in which ``event`` is high."""
        counter, counts = Signal(32, name=f"{register}_counter"), Signal(name=f"counts_{register}")
        m.d.sync += counts.eq(sequencer.running & event)  # some come a long way
        with m.If(sequencer.start):
            m.d.sync += counter.eq(0)
        with m.Elif(counts):
            m.d.sync += counter.eq(counter + 1)
        m.d.comb += getattr(control, register).eq(counter)

    def _join(self, m: Module, prefix: str, ports: dict[str, wiring.Member], owners: dict[str, wiring.Component]) -> None:
        """Connect the flat ports to the component that owns their channel."""
        for name, member in ports.items():
            owner = owners[name[:2] if name[:2] in owners else name[0]]
            inner, outer = getattr(owner, name), getattr(self, prefix + name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
