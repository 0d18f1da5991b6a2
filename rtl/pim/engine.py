"""The PIM engine: commands to the controller of a DRAM whose banks compute, with their data, and results from its sums.

Of two commands in flight the second one's macros follow while sums of the first are on their way: the controller keeps their order.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..arch.parameters import MachineParameters
from ..arch.pim import PimError
from ..arch.registers import ErrorCode
from ..arch.steps import Engine
from ..engine import IN_FLIGHT, EnginePort
from ..scratchpad import ReadPort, WritePort
from ..streams import Queue
from .collector import RESULTS, SumCollector
from .feeder import ColumnFeeder
from .gate import ControllerPort
from .issuer import MacroIssuer


class PimEngine(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a: scratchpad port for data and start values; read_b: for CHANNEL records; write: for results.
    read_b_older, write_older: not the newest command uses the port, but the one before it.
    controller: to the PIM controller.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.dram is not None
        self._p = parameters
        word = parameters.word_bytes
        super().__init__(
            {
                "engine": In(EnginePort(Engine.PIM, parameters)),
                "read_a": Out(ReadPort(word)),
                "read_b": Out(ReadPort(word)),
                "write": Out(WritePort(word)),
                **dict.fromkeys(("read_b_older", "write_older"), Out(1)),
                "controller": Out(ControllerPort(parameters.dram)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        engine, controller = self.engine, self.controller
        m.submodules.issuer = issuer = MacroIssuer(self._p)
        m.submodules.feeder = feeder = ColumnFeeder(self._p)
        m.submodules.results = results = Queue(RESULTS, depth=IN_FLIGHT)
        m.submodules.collector = collector = SumCollector(self._p)
        connect(m, flipped(engine.command), issuer.command)
        connect(m, issuer.macros, flipped(controller.macros))
        connect(m, issuer.job, feeder.job)
        connect(m, feeder.columns, flipped(controller.write))
        connect(m, feeder.port, flipped(self.read_a))
        connect(m, issuer.results, results.i)
        connect(m, results.o, collector.command)
        connect(m, flipped(controller.read), collector.columns)
        connect(m, collector.read, flipped(self.read_b))
        connect(m, collector.write, flipped(self.write))
        in_flight, taken = Signal(range(IN_FLIGHT + 1)), engine.command.valid & engine.command.ready
        failed, reported = Signal(), Signal()
        m.d.comb += [
            issuer.room.eq(in_flight != IN_FLIGHT),
            *(older.eq(in_flight == IN_FLIGHT) for older in (self.read_b_older, self.write_older)),
            issuer.feeding.eq(feeder.busy),
            collector.handed.eq(issuer.handed),
            collector.stopped.eq(failed & controller.idle),
            engine.begun.eq(taken),
            engine.done.eq(collector.done),
            engine.error.eq(Mux(issuer.illegal, ErrorCode.ILLEGAL_STEP, Mux(failed & ~reported, ErrorCode.MACRO_FAILED, ErrorCode.NONE))),
        ]
        m.d.sync += [
            in_flight.eq(in_flight + taken - collector.done),
            failed.eq(controller.error != PimError.NONE),
            reported.eq(failed & (reported | ~issuer.illegal)),
        ]
        return m
