"""A whole machine: sequencer, engines, scratchpad, bus gates and registers."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect

from .arch.dram import Dram
from .arch.links import ANY_PROGRAM, Connections
from .arch.parameters import VERSION, MachineParameters, configuration_hash
from .arch.pim import PimError
from .arch.registers import IDENTITY, REGISTERS
from .arch.steps import Engine
from .arch.workers import Worker, engines, workers
from .axi import ReadGate, WriteGate, axi4_ports
from .banks import Ports
from .compute import ComputeUnit
from .control import ControlRegisters, axi4_lite_ports
from .deform.engine import DeformEngine
from .delay import delay
from .dma import LoadEngine, StoreEngine
from .flat_ports import connect_ports
from .pim.controller import join_outside, outside_ports
from .pim.engine import PimEngine
from .pim.gate import GatedController
from .program import MemorySource, RomSource
from .scratchpad import ReadPort, Scratchpad, WritePort, port_names
from .sequencer import Sequencer
from .vector import VectorEngine

ENGINES = {
    Engine.LOAD: LoadEngine,
    Engine.STORE: StoreEngine,
    Engine.COMPUTE: ComputeUnit,
    Engine.VECTOR: VectorEngine,
    Engine.PIM: PimEngine,
    Engine.DEFORM: DeformEngine,
}


class Accelerator(wiring.Component):
    """A machine of the given parameters; with ``program`` its steps lie in a ROM, else in external memory. connections: what its program
    needs of the scratchpad (rtl/arch/links.py). Raises ParameterError where the machine can't have them.

    Members
    -------
    s_axil_*: AXI4-Lite slave for control. m_axi_*: AXI4 master to memory. irq: high from the end of a run until acknowledged.
    s_axi_*, dfi<n>: where the machine has a pim: the AXI4 slave for ordinary traffic to its DRAM, and the pins of channel n.
    activity: for a timeline: for each of the `workers` whether work on a step begins in this cycle, then for each whether a step ends.
    """

    def __init__(self, parameters: MachineParameters, *, program: bytes | None = None, connections: Connections = ANY_PROGRAM) -> None:
        connections.check(parameters)
        self.parameters, self.program, self.connections = parameters, program, connections
        pim = outside_ports(parameters.dram) if parameters.dram else {}
        activity = Out(2 * len(workers(parameters)))
        super().__init__({**axi4_lite_ports(), **axi4_ports(parameters.bus_bytes), **pim, "irq": Out(1), "activity": activity})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        m.submodules.control = control = ControlRegisters(REGISTERS)
        m.submodules.sequencer = sequencer = Sequencer(p)
        resets = [sequencer.core_reset]

        def resettable(component: wiring.Component) -> Any:
            """With a register of its own for the core's reset, which passes it on to the next one's: it goes far."""
            resets.append(delay(m, resets[-1], 1, reset_less=False))
            return ResetInserter(resets[-1])(component)

        source = MemorySource(p) if self.program is None else RomSource(self.program)
        components = {worker: ENGINES[worker.engine](p) for worker in workers(p)}
        m.submodules.source = resettable(source)
        for worker, component in components.items():
            m.submodules[worker.name] = resettable(component)
            connect(m, getattr(sequencer, worker.name), component.engine)
        connect(m, source.steps, sequencer.steps)
        self._scratchpad(m, resettable, sequencer, control, components)
        resetting, waiting = sequencer.core_reset | resets[-1], Signal()  # a start waits
        starts = control.control[0] | waiting
        m.d.sync += waiting.eq(starts & resetting & ~control.control[1])
        load, store = (next(c for worker, c in components.items() if worker.engine is engine) for engine in (Engine.LOAD, Engine.STORE))
        if p.pruning:
            (vector,) = (c for worker, c in components.items() if worker.engine is Engine.VECTOR)
            m.d.comb += sequencer.flags.eq(vector.flags)
        units = [component for worker, component in components.items() if worker.engine is Engine.COMPUTE]
        self._count(m, control, "mac_cycles", sequencer, reduce(add, (unit.mac_cycle for unit in units)))
        self._count(m, control, "cycles", sequencer, sequencer.running)
        for deform in (component for worker, component in components.items() if worker.engine is Engine.DEFORM):
            self._count(m, control, "tap_conflicts", sequencer, deform.tap_conflict)

        masters = [load.bus] + ([source.bus] if isinstance(source, MemorySource) else [])
        m.submodules.read_gate = reads = ReadGate(p.bus_bytes, masters=len(masters))
        m.submodules.write_gate = writes = WriteGate(p.bus_bytes)
        for i, bus in enumerate(masters):
            connect(m, bus, getattr(reads, f"master{i}"))
        connect(m, store.bus, writes.master)
        for gate in (reads, writes):
            connect_ports(m, gate.ports, self, gate, outer="m_axi_")
        connect_ports(m, axi4_lite_ports(""), self, control, outer="s_axil_")

        draining = reads.draining | writes.draining
        if p.dram:
            (engine,) = (c for worker, c in components.items() if worker.engine is Engine.PIM)
            draining |= self._pim(m, p.dram, engine, sequencer, control)
        state = Cat(sequencer.running, sequencer.done, sequencer.failed, draining)
        m.d.comb += self.activity.eq(sequencer.activity)
        identity = configuration_hash(p, self.program, self.connections)
        m.d.comb += [
            control.identity.eq(IDENTITY),
            control.version.eq(VERSION[0] << 16 | VERSION[1]),
            control.hash_low.eq(identity & 0xFFFF_FFFF),
            control.hash_high.eq(identity >> 32),
            control.status.eq(state | sequencer.busy << 8),
            control.error.eq(sequencer.error_code | sequencer.error_engine << 8),
            control.error_step.eq(sequencer.error_step),
            control.steps_completed.eq(sequencer.completed),
            sequencer.start.eq(starts & ~sequencer.running & ~resetting),
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

    def _scratchpad(
        self,
        m: Module,
        resettable: Callable[[wiring.Component], Any],
        sequencer: Sequencer,
        control: ControlRegisters,
        components: Mapping[Worker, wiring.Component],
    ) -> None:
        """Connect the ports of all workers, tell the sequencer whose address is out of range, and count whose wait."""
        reads, writes = (
            [(worker, component, name) for worker, component in components.items() for name in port_names(component, kind)]
            for kind in (ReadPort, WritePort)
        )
        readers, writers = ([f"{worker.name}.{name}" for worker, _, name in ports] for ports in (reads, writes))
        groups = {f"{kind}_groups": _alike(ports) for kind, ports in (("read", reads), ("write", writes))}
        scratchpad = Scratchpad(self.parameters, Ports(readers=readers, writers=writers, connections=self.connections, **groups))
        m.submodules.scratchpad = resettable(scratchpad)
        for kind, ports in (("read", reads), ("write", writes)):
            for i, (_, component, name) in enumerate(ports):
                connect(m, getattr(component, name), getattr(scratchpad, f"{kind}{i}"))
        m.d.comb += scratchpad.empties.eq(sequencer.start)
        outside, conflicts = scratchpad.out_of_range, delay(m, Cat(scratchpad.read_conflict, scratchpad.write_conflict), 1)
        older = Cat(getattr(component, f"{name}_older", Const(0, 1)) for _, component, name in reads + writes)
        owners = [worker for worker, _, _ in reads + writes]
        for w, worker in enumerate(components):
            mine = [i for i, owner in enumerate(owners) if owner is worker]
            m.d.comb += [
                sequencer.scratchpad_error[w].eq(delay(m, Cat(outside[i] for i in mine).any(), 1, reset_less=False)),
                sequencer.scratchpad_older[w].eq(delay(m, Cat(outside[i] & older[i] for i in mine).any(), 1)),
            ]
        for engine in engines(self.parameters):
            mine = [i for i, owner in enumerate(owners) if owner.engine is engine]
            name = engine.name.lower()
            self._count(m, control, f"{name}_busy", sequencer, sequencer.at_work[engine])
            self._count(m, control, f"{name}_conflicts", sequencer, Cat(conflicts[i] for i in mine).any())

    def _pim(self, m: Module, dram: Dram, engine: wiring.Component, sequencer: Sequencer, control: ControlRegisters) -> Value:
        """Connect the PIM controller, and keep the first error of a run; gives whether macros from before a reset are under way."""
        m.submodules.pim_controller = controller = GatedController(dram)
        connect(m, engine.controller, controller.engine)
        join_outside(m, dram, controller, self)
        error = Signal.like(control.pim_error)
        with m.If(sequencer.start):
            m.d.sync += error.eq(0)
        with m.Elif(error == 0):
            m.d.sync += error.eq(Mux(controller.error != PimError.NONE, controller.error | controller.error_channel << 8, 0))
        m.d.comb += [control.pim_error.eq(error), controller.flush.eq(sequencer.core_reset)]
        return controller.draining

    def _count(self, m: Module, control: ControlRegisters, register: str, sequencer: Sequencer, events: Value) -> None:
        """Count what happens in the cycles of a run: ``events`` in each."""
        counter, counts = Signal(32, name=f"{register}_counter"), Signal(len(events), name=f"counts_{register}")
        m.d.sync += counts.eq(Mux(sequencer.running, events, 0))  # some come a long way
        with m.If(sequencer.start):
            m.d.sync += counter.eq(0)
        with m.Else():
            m.d.sync += counter.eq(counter + counts)
        m.d.comb += getattr(control, register).eq(counter)


def _alike(ports: list[tuple[Worker, wiring.Component, str]]) -> list[list[int]]:
    """Numbers of the ports that several units of an engine have alike."""
    found: dict[tuple[Engine, str], list[int]] = {}
    for i, (worker, _, name) in enumerate(ports):
        found.setdefault((worker.engine, name), []).append(i)
    return [group for group in found.values() if len(group) > 1]
