"""The columns of the compute unit: array, int32 accumulators and requantizers. Rows of a in, finished rows out, at a fixed latency.

Where the machine has factors, each tile's sums are multiplied with those of its columns. Partial sums wait in the accumulator memory. In
the last tile along K the sums go through the requantizers.
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
from .tile_factor import factor_latency, factors_layout, times_factor
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
    operands: of the array. row: about this cycle's a. factors (of a machine that has them): of the tile, which they are swapped with.
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
                **({"factors": In(factors_layout(p.cols))} if p.factor_bits else {}),
                "channels": In(channels_layout(p.cols)),
                "channels_taken": Out(1),
                "o": Out(results_layout(p.cols)),
                **dict.fromkeys(("valid", "tabulated", "command"), Out(1)),
            }
        )

    @property
    def latency(self) -> int:
        """The array and the factor, the sum, the requantizer."""
        return self._sum_latency + 1 + requantizer_latency(TOTAL_BITS, registered=True)

    @property
    def _sum_latency(self) -> int:
        """Of what is added to the accumulators."""
        return self._array.latency + (factor_latency(self._array.sum_shape) if self._p.factor_bits else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.array = array = self._array
        connect(m, flipped(self.operands), array.operands)
        accumulators = memory.Memory(shape=data.ArrayLayout(ACCUMULATOR, p.cols), depth=p.accumulator_depth, init=[])
        m.submodules.accumulators = accumulators
        partial, write = accumulators.read_port(), accumulators.write_port()
        rows = [Signal(self.row.shape(), name=f"row{i}") for i in range(self._sum_latency + 1)]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise([self.row, *rows])]
        sums = self._sums(m, platform, rows)
        coming, row, total_row = rows[-3:]
        sums_layout = data.ArrayLayout(ACCUMULATOR, p.cols)
        earlier, totals = (Signal(sums_layout, name=name, reset_less=True) for name in ("earlier", "totals"))
        channels = Signal(channels_layout(p.cols), reset_less=True)
        finish = self.latency - self._sum_latency - 1
        m.d.comb += [
            # Two cycles before the sums are there: one of them for the register behind the memory.
            partial.addr.eq(rows[-4].row),
            write.addr.eq(total_row.row),
            write.en.eq(total_row.valid),
            write.data.eq(totals),
            self.channels_taken.eq(row.valid & row.last_tile & row.first_row),
            self.valid.eq(delay(m, row.valid & row.last_tile, finish + 1, reset_less=False)),
            Cat(self.tabulated, self.command).eq(delay(m, Cat(row.tabulated, row.command), finish + 1)),
        ]
        # What a sum of the first tile joins: zero, or what is below all that the array gives.
        below = len(sums[0][0]) - 1
        lowest = Cat(Const(0, below), coming.maximum.replicate(ACCUMULATOR.width - below))
        m.d.sync += [earlier[col].eq(Mux(coming.first_tile, lowest.as_signed(), partial.data[col])) for col in range(p.cols)]
        with m.If(self.channels_taken):
            m.d.sync += channels.eq(self.channels)
        # These are taken late in the requantizer, where rows of the command before may be.
        late = {name: delay(m, channels[name], finish - n) for name, n in (("out_zero_point", 2), ("low", 1), ("high", 1))}
        for col in range(p.cols):
            record = channels.records[col]
            m.submodules[f"requantizer{col}"] = requantizer = Requantizer(TOTAL_BITS, registered=True)
            summed, carry = sums[col]
            added = Signal(ACCUMULATOR, name=f"added{col}", reset_less=True)
            m.d.sync += added.eq(add(summed, earlier[col], carry))
            total = Mux(total_row.maximum, _largest(m, summed, earlier[col]), added) if p.depthwise else added
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

    def _sums(self, m: Module, platform: object, rows: list[data.View]) -> list[tuple[Value, Value]]:
        """Of each column what is added to its accumulator, and a carry. rows: from a cycle after its operands on, what each row is."""
        if not self._p.factor_bits:
            return [(column.sum, column.carry) for column in self._array.o]
        factors, last = self.factors, self._array.latency - 2
        # Each is there until it is taken again, TILE_CYCLES later at the earliest: several tiles have rows in the array.
        for at in (*range(0, last, TILE_CYCLES), last):
            held = Signal.like(factors, name=f"factors{at}", reset_less=True)
            with m.If(rows[at].valid & rows[at].first_row):
                m.d.sync += held.eq(factors)
            factors = held
        scaled = (times_factor(m, platform, o.sum, o.carry, factors[i], name=f"scaled{i}") for i, o in enumerate(self._array.o))
        return [(value, Const(0)) for value in scaled]


def _largest(m: Module, summed: Value, earlier: Value) -> Value:
    """The larger one of a sum and of what is as wide of the earlier ones, a cycle later."""
    earlier = earlier[: len(summed)].as_signed()
    new, before, exceeds = Signal.like(summed, reset_less=True), Signal.like(earlier, reset_less=True), Signal(reset_less=True)
    m.d.sync += [new.eq(summed), before.eq(earlier), exceeds.eq(summed > earlier)]
    return Mux(exceeds, new, before)
