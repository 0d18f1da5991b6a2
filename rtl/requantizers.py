"""What makes results of the columns' sums: a requantizer for each column, or one for several, which takes them one after the other."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .delay import delay
from .requantizer import Requantizer, requantizer_latency
from .result_writer import results_layout
from .tile_loader import channels_layout

ACCUMULATOR = signed(32)
TOTAL_BITS = 33  # of an accumulator with its bias
_REQUANTIZER_LATENCY = requantizer_latency(TOTAL_BITS, registered=True)
FINISHED_ROW = data.StructLayout(dict.fromkeys(("first_row", "tabulated", "command"), 1))


def sums_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(ACCUMULATOR, cols)


class Requantizers(wiring.Component):
    """Members
    -------
    row, valid: a row whose ``sums`` are there from the next cycle on, for as many cycles as columns share a requantizer; another row comes
    no sooner than that.
    channels: of the rows; ``channels_taken`` with the first of a tile.
    o, o_valid: `latency` cycles after the row; tabulated, command: of that row.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        cols = parameters.cols
        super().__init__(
            {
                "row": In(FINISHED_ROW),
                "valid": In(1),
                "sums": In(sums_layout(cols)),
                "channels": In(channels_layout(cols)),
                "channels_taken": Out(1),
                "o": Out(results_layout(cols)),
                **dict.fromkeys(("o_valid", "tabulated", "command"), Out(1)),
            }
        )

    @property
    def latency(self) -> int:
        """From a row to its results. Where columns share a requantizer they are chosen, and then collected."""
        shared = self._p.requantizer_columns
        return 1 + _REQUANTIZER_LATENCY + (1 + shared if shared > 1 else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shared = self._p.requantizer_columns
        channels = Signal(self.channels.shape(), reset_less=True)
        m.d.comb += [
            self.channels_taken.eq(self.valid & self.row.first_row),
            self.o_valid.eq(delay(m, self.valid, self.latency, reset_less=False)),
            *(getattr(self, flag).eq(delay(m, self.row[flag], self.latency)) for flag in ("tabulated", "command")),
        ]
        with m.If(self.channels_taken):
            m.d.sync += channels.eq(self.channels)
        # These are taken late in a requantizer, where rows of the command before may be.
        from_channels = _REQUANTIZER_LATENCY + (shared > 1)
        late = {name: delay(m, channels[name], from_channels - n) for name, n in (("out_zero_point", 2), ("low", 1), ("high", 1))}
        turn = Signal(range(shared))  # of a column among those that share a requantizer
        m.d.sync += turn.eq(Mux(self.valid, 0, turn + 1))
        collected = delay(m, turn, 1 + _REQUANTIZER_LATENCY)
        for first in range(0, self._p.cols, shared):
            total, record = self.sums[first], channels.records[first]
            if shared > 1:
                total, record = (_chosen(m, of, first, turn, shared) for of in (self.sums, channels.records))
            m.submodules[f"requantizer{first}"] = requantizer = Requantizer(TOTAL_BITS, registered=True)
            m.d.comb += [
                requantizer.i.value.eq(total + record.bias),
                requantizer.i.multiplier.eq(record.multiplier),
                requantizer.i.shift.eq(record.shift),
                requantizer.zero_point.eq(late["out_zero_point"]),
                requantizer.low.eq(late["low"]),
                requantizer.high.eq(late["high"]),
            ]
            if shared == 1:
                m.d.comb += self.o[first].eq(requantizer.o)
            else:
                results = [Signal.like(requantizer.o, name=f"result{first + i}", reset_less=True) for i in range(shared)]
                m.d.comb += [self.o[first + i].eq(result) for i, result in enumerate(results)]
                with m.Switch(collected):
                    for i, result in enumerate(results):
                        with m.Case(i):
                            m.d.sync += result.eq(requantizer.o)
        return m


def _chosen(m: Module, values: data.View, first: int, turn: Value, count: int) -> Any:
    """The ``turn``-th of ``count`` values from ``first`` on, a cycle later."""
    shape = values.shape().elem_shape
    chosen = Signal(shape, name=f"chosen{first}", reset_less=True)
    m.d.sync += chosen.eq(Array(values[first + i] for i in range(count))[turn])
    return chosen
