"""The PIM controller as the machine has it: outside of the core's reset, since its DRAM has open rows and data on their way."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Dram
from ..arch.pim import MACRO, PimError
from ..layouts import record_layout
from .controller import PimController, join_outside, outside_ports
from .layouts import CHANNEL_BITS

_ERROR = range(max(PimError) + 1)


class ControllerPort(wiring.Signature):
    """As seen by the engine: macros, their data, what they answer; the controller's error, and whether nothing is under way in it."""

    def __init__(self, dram: Dram) -> None:
        column = stream.Signature(8 * dram.column_bytes)
        super().__init__(
            {
                "macros": Out(stream.Signature(record_layout(MACRO))),
                "write": Out(column),
                "read": In(column),
                "error": In(_ERROR),
                "idle": In(1),
            }
        )


class GatedController(wiring.Component):
    """A `PimController` that forgets on ``flush`` what macros were begun: they are given zeros, their answers dropped.

    Members
    -------
    engine: to the PIM engine. flush: at least three cycles, in which the engine is reset. draining: macros from before are under way, or
    their error is not cleared yet; new ones wait. error, error_channel: the controller's, of macros that were not forgotten.
    s_axi_*, dfi<n>: the controller's.
    """

    def __init__(self, dram: Dram) -> None:
        self._dram = dram
        errors = {"error": Out(_ERROR), "error_channel": Out(CHANNEL_BITS)}
        super().__init__({"engine": In(ControllerPort(dram)), "flush": In(1), "draining": Out(1), **errors, **outside_ports(dram)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = controller = PimController(self._dram)
        engine, stale, idle = self.engine, self.draining, Signal()
        join_outside(m, self._dram, controller, self)
        m.d.comb += [
            controller.macros.payload.eq(engine.macros.payload),
            *(controller.macros.valid.eq(engine.macros.valid & ~stale), engine.macros.ready.eq(controller.macros.ready & ~stale)),
            controller.write.payload.eq(Mux(stale, 0, engine.write.payload)),
            *(controller.write.valid.eq(engine.write.valid | stale), engine.write.ready.eq(controller.write.ready & ~stale)),
            engine.read.payload.eq(controller.read.payload),
            *(engine.read.valid.eq(controller.read.valid & ~stale), controller.read.ready.eq(engine.read.ready | stale)),
            *(self.error.eq(Mux(stale, PimError.NONE, controller.error)), self.error_channel.eq(controller.error_channel)),
            *(engine.error.eq(self.error), engine.idle.eq(idle)),
            controller.clear.eq(stale & ~self.flush & idle),
        ]
        m.d.sync += [idle.eq(controller.idle), stale.eq(self.flush | (stale & ~idle))]
        return m
