"""Adds a matrix to the compute unit's results, with the arithmetic of rtl/add.py (model: sw/golden/add.py)."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .add import SUM_LATENCY, SUM_TAKES, weighted_sum
from .arch.blocks import ADD
from .arch.formats import INT16
from .arch.parameters import MachineParameters
from .arch.steps import RESIDUAL_SCALARS, Engine
from .delay import delay
from .engine import command_layout, of_last_two
from .layouts import record_layout
from .residual_reader import ResidualReader
from .result_writer import named_results_layout, results_layout
from .scratchpad import ReadPort
from .streams import Pipelined

_UNCHANGED = {"a_multiplier": 1, "low": INT16.min, "high": INT16.max}  # with all others zero: a result stays as it is


class _Sums(wiring.Component):
    """``o = add(a, b)`` of each row, with the ``parameters`` of the command that its bit names."""

    latency = SUM_LATENCY

    def __init__(self, cols: int) -> None:
        self._cols = cols
        operands = data.StructLayout({"a": named_results_layout(cols), "b": results_layout(cols)})
        parameters = data.ArrayLayout(record_layout(ADD), 2)
        super().__init__({"i": In(operands), "o": Out(results_layout(cols)), "parameters": In(parameters)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = Signal(record_layout(ADD))  # each one that of the row which takes it in this cycle
        for name, cycles in SUM_TAKES.items():
            if cycles:
                before = delay(m, self.i.a.command, cycles - 1)
                m.d.comb += p[name].eq(delay(m, self.parameters[before][name], 1))
            else:
                m.d.comb += p[name].eq(self.parameters[self.i.a.command][name])
        for col in range(self._cols):
            a, b = self.i.a.results[col] - p.a_zero_point, self.i.b[col] - p.b_zero_point
            m.d.comb += self.o[col].eq(weighted_sum(m, platform, a, b, p, name=f"column{col}"))
        return m


class ResidualAdd(wiring.Component):
    """Members
    -------
    command, port: as of ResidualReader.
    rows: results. sums: those of a command with a residual and the elements of r at their places; all others as they are.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                "port": Out(ReadPort(parameters.word_bytes)),
                "rows": In(stream.Signature(named_results_layout(parameters.cols))),
                "sums": Out(stream.Signature(results_layout(parameters.cols))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self.command.payload
        m.submodules.reader = reader = ResidualReader(self._p)
        connect(m, flipped(self.command), reader.command)
        connect(m, flipped(self.port), reader.port)
        kept = Signal(data.StructLayout({"residual": 1, "parameters": record_layout(ADD)}))
        _, about = of_last_two(m, self.command.valid & self.command.ready, kept, ("residual", "parameters"))
        datapath = _Sums(self._p.cols)
        m.submodules.sums = sums = Pipelined(datapath)
        adds = about(self.rows.payload.command).residual
        there = ~adds | reader.rows.valid
        m.d.comb += [
            kept.residual.eq(c.residual),
            *(kept.parameters[name].eq(Mux(c.residual, c[field], _UNCHANGED.get(name, 0))) for field, name in RESIDUAL_SCALARS.items()),
            *(datapath.parameters[bit].eq(about(bit).parameters) for bit in range(2)),
            *(sums.i.payload.a.eq(self.rows.payload), sums.i.payload.b.eq(reader.rows.payload), sums.i.valid.eq(self.rows.valid & there)),
            *(self.rows.ready.eq(sums.i.ready & there), reader.rows.ready.eq(sums.i.ready & self.rows.valid & adds)),
        ]
        connect(m, flipped(self.sums), sums.o)
        return m
