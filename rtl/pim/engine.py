"""The PIM engine: commands to the controller of a DRAM whose banks compute, with their data, and results from its sums.

Of two commands in flight the second one's macros follow while sums of the first are on their way: the controller keeps their order.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..arch.parameters import MachineParameters
from ..arch.pim import MACRO, PimError
from ..arch.registers import ErrorCode
from ..arch.steps import Engine
from ..engine import IN_FLIGHT, EnginePort
from ..layouts import record_layout
from ..scratchpad import ReadPort, WritePort
from ..streams import Queue
from .collector import RESULTS, SumCollector
from .feeder import ColumnFeeder
from .issuer import MacroIssuer


class PimEngine(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a: scratchpad port for data and start values; read_b: for CHANNEL records; write: for results.
    macros, write_columns, read_columns: to the controller (rtl/pim/controller.py). pim_error, pim_idle: its error, and whether nothing is
    under way in it.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.dram is not None
        self._p = parameters
        word, column = parameters.word_bytes, stream.Signature(8 * parameters.dram.column_bytes)
        super().__init__(
            {
                "engine": In(EnginePort(Engine.PIM, parameters)),
                "read_a": Out(ReadPort(word)),
                "read_b": Out(ReadPort(word)),
                "write": Out(WritePort(word)),
                "macros": Out(stream.Signature(record_layout(MACRO))),
                "write_columns": Out(column),
                "read_columns": In(column),
                "pim_error": In(range(max(PimError) + 1)),
                "pim_idle": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        engine = self.engine
        m.submodules.issuer = issuer = MacroIssuer(self._p)
        m.submodules.feeder = feeder = ColumnFeeder(self._p)
        m.submodules.results = results = Queue(RESULTS, depth=IN_FLIGHT)
        m.submodules.collector = collector = SumCollector(self._p)
        connect(m, flipped(engine.command), issuer.command)
        connect(m, issuer.macros, flipped(self.macros))
        connect(m, issuer.job, feeder.job)
        connect(m, feeder.columns, flipped(self.write_columns))
        connect(m, feeder.port, flipped(self.read_a))
        connect(m, issuer.results, results.i)
        connect(m, results.o, collector.command)
        connect(m, flipped(self.read_columns), collector.columns)
        connect(m, collector.read, flipped(self.read_b))
        connect(m, collector.write, flipped(self.write))
        in_flight, taken = Signal(range(IN_FLIGHT + 1)), engine.command.valid & engine.command.ready
        failed, reported = Signal(), Signal()
        m.d.comb += [
            issuer.room.eq(in_flight != IN_FLIGHT),
            issuer.feeding.eq(feeder.busy),
            collector.handed.eq(issuer.handed),
            collector.stopped.eq(failed & self.pim_idle),
            engine.begun.eq(taken),
            engine.done.eq(collector.done),
            engine.error.eq(Mux(issuer.illegal, ErrorCode.ILLEGAL_STEP, Mux(failed & ~reported, ErrorCode.PIM, ErrorCode.NONE))),
        ]
        m.d.sync += [
            in_flight.eq(in_flight + taken - collector.done),
            failed.eq(self.pim_error != PimError.NONE),
            reported.eq(failed & (reported | ~issuer.illegal)),
        ]
        return m
