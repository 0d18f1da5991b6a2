"""An engine between a real scratchpad and, for the DMA engines, an AXI4 port: what tb/test_engine.py drives."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..rtl.accelerator import ENGINES
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import FLAGS, Engine, taken_commands
from ..rtl.axi import ReadGate, WriteGate, axi4_ports
from ..rtl.banks import Ports
from ..rtl.flat_ports import connect_ports
from ..rtl.layouts import record_layout
from ..rtl.pim.engine import PimEngine
from ..rtl.pim.gate import GatedController
from ..rtl.pim.layouts import Dfi
from ..rtl.scratchpad import ReadPort, Scratchpad, WritePort, port_names

MEMORY_BASE = 0x1000  # of the driver's buffer
MEMORY_BYTES = 0x4000


class EngineBench(wiring.Component):
    """Members
    -------
    command, done, error: the engine's port. flags: of the vector engine. out_of_range: it asked for an address beyond the scratchpad.
    host_read, host_write: scratchpad ports of the bench, which also disturb the engine. m_axi_*: to memory. dfi<n>: the pins of
    channel n of the PIM engine's controller; pim_idle: nothing is under way in it; flush: reset the
    engine, not the controller.
    """

    def __init__(self, engine: Engine, parameters: MachineParameters) -> None:
        self._engine, self._p = engine, parameters
        word, dram = parameters.word_bytes, parameters.dram
        pim = {"flush": In(1), "pim_idle": Out(1), **{f"dfi{i}": Out(Dfi(dram)) for i in range(dram.channels)}} if dram else {}
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(taken_commands(parameters)[engine]))),
                "done": Out(1),
                "error": Out(8),
                "flags": Out(FLAGS),
                "out_of_range": Out(1),
                "host_read": In(ReadPort(word)),
                "host_write": In(WritePort(word)),
                **axi4_ports(parameters.bus_bytes),
                **pim,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        engine = ENGINES[self._engine](p)
        m.submodules.engine = ResetInserter(self.flush)(engine) if self._engine is Engine.PIM else engine
        m.d.comb += [
            engine.engine.command.payload.eq(self.command.payload),
            engine.engine.command.valid.eq(self.command.valid),
            self.command.ready.eq(engine.engine.command.ready),
            self.done.eq(engine.engine.done),
            self.error.eq(engine.engine.error),
        ]
        if self._engine is Engine.VECTOR and p.pruning:
            m.d.comb += self.flags.eq(engine.flags)
        if self._engine is Engine.PIM:
            self._pim(m, engine)
        reads, writes = (list(port_names(engine, kind)) for kind in (ReadPort, WritePort))
        m.submodules.scratchpad = scratchpad = Scratchpad(p, Ports(readers=[*reads, "host"], writers=[*writes, "host"]))
        for i, name in enumerate(reads):
            connect(m, getattr(engine, name), getattr(scratchpad, f"read{i}"))
        for i, name in enumerate(writes):
            connect(m, getattr(engine, name), getattr(scratchpad, f"write{i}"))
        connect(m, flipped(self.host_read), getattr(scratchpad, f"read{len(reads)}"))
        connect(m, flipped(self.host_write), getattr(scratchpad, f"write{len(writes)}"))
        m.d.comb += self.out_of_range.eq(scratchpad.out_of_range.any())
        if self._engine in (Engine.LOAD, Engine.STORE):
            loads = self._engine is Engine.LOAD
            m.submodules.gate = gate = ReadGate(p.bus_bytes, masters=1) if loads else WriteGate(p.bus_bytes)
            connect(m, engine.bus, gate.master0 if loads else gate.master)
            m.d.comb += [engine.memory_base.eq(MEMORY_BASE), engine.memory_size.eq(MEMORY_BYTES)]
            connect_ports(m, gate.ports, self, gate, outer="m_axi_")
        return m

    def _pim(self, m: Module, engine: PimEngine) -> None:
        """The engine's controller, whose channels are the bench's."""
        assert self._p.dram is not None
        m.submodules.controller = controller = GatedController(self._p.dram)
        connect(m, engine.controller, controller.engine)
        for channel in range(self._p.dram.channels):
            connect(m, getattr(controller, f"dfi{channel}"), flipped(getattr(self, f"dfi{channel}")))
        m.d.comb += [self.pim_idle.eq(controller.engine.idle & ~controller.draining), controller.flush.eq(self.flush)]
