"""Max pooling of the compute unit's results, 2 x 2 of them, where they are a map of single pixels (model: sw/golden/machine.py)."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import COUNT_BITS, Engine
from .engine import command_layout, of_last_two
from .result_writer import named_results_layout


class ResultPool(wiring.Component):
    """The larger one of each pair of results waits, in the first of two lines, for that of the second.

    Members
    -------
    command, taken: a compute command, in the cycle in which the reader takes it.
    rows: results, with the bit that names their command. pooled: those of a command that is ``pooled``, of every second line of m rows
    cols / 2 results, the first ones; all others as they are.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        rows = stream.Signature(named_results_layout(parameters.cols))
        super().__init__({"command": In(command_layout(Engine.COMPUTE, parameters)), "taken": In(1), "rows": In(rows), "pooled": Out(rows)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pairs = range(self._p.cols // 2)
        _, about = of_last_two(m, self.taken, self.command, ("m", "pooled"))
        command = about(self.rows.payload.command)
        place, second = Signal(COUNT_BITS), Signal()  # of the row in its line, and whether that is the second one
        row, row_pools, row_place = (Signal.like(s, reset_less=True) for s in (self.rows.payload, command.pooled, place))
        full, waits, arrives = Signal(), Signal(), Signal()  # waits: for the second line
        larger = [Mux(a > b, a, b) for a, b in ((self.rows.payload.results[2 * i], self.rows.payload.results[2 * i + 1]) for i in pairs)]

        m.submodules.line = line = memory.Memory(shape=8 * len(pairs), depth=self._p.accumulator_depth // 2, init=[])
        write = line.write_port()
        read = line.read_port(transparent_for=[write])
        found = [read.data.word_select(i, 8).as_signed() for i in pairs]
        leaves = waits | self.pooled.ready
        m.d.comb += [
            *(self.rows.ready.eq(~full | leaves), arrives.eq(self.rows.valid & self.rows.ready)),
            *(read.addr.eq(place), read.en.eq(arrives)),
            *(write.addr.eq(row_place), write.data.eq(Cat(row.results[i][:8] for i in pairs)), write.en.eq(full & waits)),
            *(self.pooled.valid.eq(full & ~waits), self.pooled.payload.eq(row)),
        ]
        with m.If(row_pools):
            m.d.comb += [self.pooled.payload.results[i].eq(Mux(row.results[i] > found[i], row.results[i], found[i])) for i in pairs]
        with m.If(self.rows.ready):
            m.d.sync += full.eq(self.rows.valid)
        with m.If(arrives):
            m.d.sync += [row.eq(self.rows.payload), row_pools.eq(command.pooled), row_place.eq(place), waits.eq(command.pooled & ~second)]
            with m.If(command.pooled):
                m.d.sync += [row.results[i].eq(value) for i, value in enumerate(larger)]
                m.d.sync += place.eq(place + 1)
                with m.If(place + 1 == command.m):
                    m.d.sync += [place.eq(0), second.eq(~second)]
        return m
