"""The columns of the compute unit: array, int32 accumulators and requantizers. Rows of a in, finished rows out, at a fixed latency.

Partial sums wait in the accumulator memory. In the last tile along K the sums go through the requantizers.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .adder_tree import add
from .arch.parameters import MachineParameters
from .delay import delay
from .mac_array import MacArray, Operands
from .requantizer import Requantizer, requantizer_latency
from .result_writer import results_layout
from .tile_loader import channels_layout

ACCUMULATOR = signed(32)
TOTAL_BITS = 33  # of an accumulator with its bias
TILE_CYCLES = 4  # at least, between two rows of the same index: the accumulator's read, add and write


def row_layout(accumulator_depth: int) -> data.StructLayout:
    """What a row of a is: its index in the tile, which tiles along K, whether a tile's first row, whether the largest sum is kept, whether
    its results are looked up, and the bit that names its command."""
    flags = "first_tile", "last_tile", "first_row", "maximum", "tabulated", "command"
    return data.StructLayout({"valid": 1, "row": range(accumulator_depth), **dict.fromkeys(flags, 1)})


class MacColumns(wiring.Component):
    """Members
    -------
    operands: of the array. row: about this cycle's a.
    channels: of the rows of a last tile; ``channels_taken`` with the first of them.
    o, valid: `latency` cycles after a row of a last tile; tabulated, command: of that row.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = p = parameters
        self._array = MacArray(p)
        super().__init__(
            {
                "operands": In(Operands(p)),
                "row": In(row_layout(p.accumulator_depth)),
                "channels": In(channels_layout(p.cols)),
                "channels_taken": Out(1),
                "o": Out(results_layout(p.cols)),
                **dict.fromkeys(("valid", "tabulated", "command"), Out(1)),
            }
        )

    @property
    def latency(self) -> int:
        """The array, the sum, the requantizer."""
        return self._array.latency + 1 + requantizer_latency(TOTAL_BITS, registered=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.array = array = self._array
        connect(m, flipped(self.operands), array.operands)
        accumulators = memory.Memory(shape=data.ArrayLayout(ACCUMULATOR, p.cols), depth=p.accumulator_depth, init=[])
        m.submodules.accumulators = accumulators
        partial, write = accumulators.read_port(), accumulators.write_port()
        rows = [Signal(self.row.shape(), name=f"row{i}") for i in range(array.latency + 1)]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise([self.row, *rows])]
        coming, row, total_row = rows[-3:]
        earlier, totals = (Signal(data.ArrayLayout(ACCUMULATOR, p.cols), name=name) for name in ("earlier", "totals"))
        channels = Signal(channels_layout(p.cols))
        m.d.comb += [
            # Two cycles before the sums leave the array: one of them for the register behind the memory.
            partial.addr.eq(rows[-4].row),
            write.addr.eq(total_row.row),
            write.en.eq(total_row.valid),
            write.data.eq(totals),
            self.channels_taken.eq(row.valid & row.last_tile & row.first_row),
            self.valid.eq(delay(m, row.valid & row.last_tile, self.latency - array.latency, reset_less=False)),
            Cat(self.tabulated, self.command).eq(delay(m, Cat(row.tabulated, row.command), self.latency - array.latency)),
        ]
        # What a sum of the first tile joins: zero, or what is below all that the array gives.
        lowest = Cat(Const(0, array.sum_shape.width - 1), coming.maximum.replicate(ACCUMULATOR.width - array.sum_shape.width + 1))
        m.d.sync += [earlier[col].eq(Mux(coming.first_tile, lowest.as_signed(), partial.data[col])) for col in range(p.cols)]
        with m.If(self.channels_taken):
            m.d.sync += channels.eq(self.channels)
        # These are taken late in the requantizer, where rows of the command before may be.
        finish = self.latency - array.latency - 1
        late = {name: delay(m, channels[name], finish - n) for name, n in (("out_zero_point", 2), ("low", 1), ("high", 1))}
        for col in range(p.cols):
            record = channels.records[col]
            m.submodules[f"requantizer{col}"] = requantizer = Requantizer(TOTAL_BITS, registered=True)
            summed = array.o[col].sum
            added = Signal(ACCUMULATOR, name=f"added{col}", reset_less=True)
            m.d.sync += added.eq(add(summed, earlier[col], array.o[col].carry))
            total = Mux(total_row.maximum, self._largest(m, summed, earlier[col]), added) if p.depthwise else added
            m.d.comb += [
                totals[col].eq(total),
                requantizer.i.value.eq(totals[col] + record.bias),
                requantizer.i.multiplier.eq(record.multiplier),
                requantizer.i.shift.eq(record.shift),
                requantizer.zero_point.eq(late["out_zero_point"]),
                requantizer.low.eq(late["low"]),
                requantizer.high.eq(late["high"]),
                self.o[col].eq(requantizer.o),
            ]
        return m

    def _largest(self, m: Module, summed: Value, earlier: Value) -> Value:
        """The larger one of a sum and of what is as wide of the earlier ones, a cycle later."""
        shape = self._array.sum_shape
        new, before, exceeds = Signal(shape, reset_less=True), Signal(shape, reset_less=True), Signal(reset_less=True)
        m.d.sync += [new.eq(summed), before.eq(earlier), exceeds.eq(summed > earlier[: shape.width].as_signed())]
        return Mux(exceeds, new, before)
