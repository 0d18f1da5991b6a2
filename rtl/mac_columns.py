"""The columns of the compute unit: array, int32 accumulators and requantizers. Rows of a in, finished rows out.

Where the machine has factors, each tile's sums are multiplied with those of its columns. Partial sums wait in the accumulator memory. In
the last tile along K the sums go through the requantizers: at once, or where several columns share one, from a queue of as many rows as a
tile has, while the next tiles pass.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .adder_tree import add
from .arch.parameters import TILE_CYCLES, MachineParameters
from .mac_array import MacArray, Operands
from .requantizers import ACCUMULATOR, FINISHED_ROW, Requantizers, sums_layout
from .result_writer import results_layout
from .streams import Queue
from .tile_factor import factor_latency, factors_layout, times_factor
from .tile_loader import channels_layout


def row_layout(accumulator_depth: int) -> data.StructLayout:
    """What a row of a is: its index in the tile, which tiles along K, whether a tile's first row, whether its sum joins that of the row
    before it, whether the largest sum is kept, whether its results are looked up, and the bit that names its command."""
    flags = "first_tile", "last_tile", "first_row", "joins", "maximum", "tabulated", "command"
    return data.StructLayout({"valid": 1, "row": range(accumulator_depth), **dict.fromkeys(flags, 1)})


class MacColumns(wiring.Component):
    """Members
    -------
    operands: of the array. row: about this cycle's a. factors (of a machine that has them): of the tile, which they are swapped with.
    channels: of the rows of a last tile; ``channels_taken`` with the first of them.
    o, valid: `latency` cycles after a row of a last tile; tabulated, command: of that row.
    room, leaves (where columns share requantizers): whether a row may leave the queue; one does, and its results come `latency` cycles
    later. Of a last tile no more than `waiting` rows may have entered that have not left.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = p = parameters
        self._array, self._requantizers = MacArray(p), Requantizers(p)
        super().__init__(
            {
                "operands": In(Operands(p)),
                "row": In(row_layout(p.accumulator_depth)),
                **({"factors": In(factors_layout(p.cols))} if p.factor_bits else {}),
                "channels": In(channels_layout(p.cols)),
                "channels_taken": Out(1),
                "o": Out(results_layout(p.cols)),
                **dict.fromkeys(("valid", "tabulated", "command"), Out(1)),
                **({"room": In(1), "leaves": Out(1)} if self.waiting else {}),
            }
        )

    @property
    def latency(self) -> int:
        return self._requantizers.latency + (0 if self.waiting else self._sum_latency)

    @property
    def waiting(self) -> int:
        """Rows of the queue."""
        return self._p.accumulator_depth if self._p.requantizer_columns > 1 else 0

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
        earlier, totals = (Signal(sums_layout(p.cols), name=name, reset_less=True) for name in ("earlier", "totals"))
        m.submodules.requantizers = requantizers = self._requantizers
        m.d.comb += [
            # Two cycles before the sums are there: one of them for the register behind the memory.
            partial.addr.eq(rows[-4].row),
            write.addr.eq(total_row.row),
            write.en.eq(total_row.valid),
            write.data.eq(totals),
            requantizers.channels.eq(self.channels),
            self.channels_taken.eq(requantizers.channels_taken),
            *(self.o.eq(requantizers.o), self.valid.eq(requantizers.o_valid)),
            *(self.tabulated.eq(requantizers.tabulated), self.command.eq(requantizers.command)),
        ]
        if self.waiting:
            self._queue(m, total_row, totals)
        else:
            m.d.comb += [
                *(requantizers.row[name].eq(row[name]) for name in FINISHED_ROW.members),
                requantizers.valid.eq(row.valid & row.last_tile),
                requantizers.sums.eq(totals),
            ]
        # What a sum of the first tile joins: zero, or what is below all that the array gives.
        below = len(sums[0][0]) - 1
        lowest = Cat(Const(0, below), coming.maximum.replicate(ACCUMULATOR.width - below))
        m.d.sync += [earlier[col].eq(Mux(coming.first_tile, lowest.as_signed(), partial.data[col])) for col in range(p.cols)]
        for col in range(p.cols):
            summed, carry = sums[col]
            added = Signal(ACCUMULATOR, name=f"added{col}", reset_less=True)
            with m.If(row.valid):
                m.d.sync += added.eq(add(summed, Mux(row.joins, added, earlier[col]), carry))
            total = Mux(total_row.maximum, _largest(m, summed, earlier[col]), added) if p.depthwise else added
            m.d.comb += totals[col].eq(total)
        return m

    def _queue(self, m: Module, row: data.View, sums: data.View) -> None:
        """Hand each row of a last tile to the requantizers, when they are done with the one before."""
        requantizers, layout = self._requantizers, data.StructLayout({"row": FINISHED_ROW, "sums": sums.shape()})
        m.submodules.queue = queue = Queue(layout, depth=self.waiting)
        busy = Signal(range(self._p.requantizer_columns))  # cycles that the row before needs them
        held = Signal.like(sums, reset_less=True)
        m.d.comb += [
            *(queue.i.payload.row[name].eq(row[name]) for name in FINISHED_ROW.members),
            *(queue.i.payload.sums.eq(sums), queue.i.valid.eq(row.valid & row.last_tile)),
            *(queue.o.ready.eq(self.room & (busy == 0)), self.leaves.eq(queue.o.valid & queue.o.ready)),
            *(requantizers.row.eq(queue.o.payload.row), requantizers.valid.eq(self.leaves), requantizers.sums.eq(held)),
        ]
        m.d.sync += busy.eq(Mux(busy == 0, 0, busy - 1))
        with m.If(self.leaves):
            m.d.sync += [held.eq(queue.o.payload.sums), busy.eq(self._p.requantizer_columns - 1)]

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
