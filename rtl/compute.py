"""The compute unit: matrix products of int8 operands, int32 accumulators, requantized per channel (model: sw/golden/matmul.py).

For each tile of cols channels and each tile of rows along K, the tile of b is held in the array while all m rows of a stream
past it; partial sums wait in the accumulator memory. In the last tile along K the sums go through the requantizers to the
result writer. The next tile of b is loaded meanwhile.
"""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import Reader
from .arch.parameters import MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import COMPUTE, COUNT_BITS
from .engine import EnginePort
from .layouts import record_layout
from .mac_array import MacArray
from .requantizer import Requantizer, requantizer_latency
from .result_writer import ResultWriter, results_layout
from .scratchpad import ReadPort, WritePort
from .streams import Queue
from .tile_loader import TileLoader, channels_layout

ACCUMULATOR = signed(32)
TOTAL_BITS = 33  # of an accumulator with its bias
TILE_CYCLES = 4  # at least, between two rows of the same index: the accumulator's read, add and write


class ComputeUnit(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a, read_b, write: scratchpad ports.
    mac_cycle: high in each cycle in which a row entered the array.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        word = parameters.word_bytes
        super().__init__(
            {
                "engine": In(EnginePort(COMPUTE)),
                "read_a": Out(ReadPort(word)),
                "read_b": Out(ReadPort(word)),
                "write": Out(WritePort(word)),
                "mac_cycle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        layout = record_layout(COMPUTE)
        c = Signal(layout)
        m.submodules.loader = loader = TileLoader(p, layout)
        m.submodules.reader = reader = Reader(p.word_bytes, steps=(1, p.rows, p.cols))
        m.submodules.array = array = MacArray(p.rows, p.cols)
        m.submodules.writer = writer = ResultWriter(p, layout)
        connect(m, reader.port, flipped(self.read_a))
        connect(m, loader.port, flipped(self.read_b))
        connect(m, writer.port, flipped(self.write))
        results_depth = array.latency + requantizer_latency(TOTAL_BITS) + 6  # rows between the array's input and the writer
        m.submodules.results = results = Queue(results_layout(p.cols), depth=results_depth)
        accumulators = memory.Memory(shape=data.ArrayLayout(ACCUMULATOR, p.cols), depth=p.accumulator_depth, init=[])
        m.submodules.accumulators = accumulators
        partial = accumulators.read_port()
        tag = self._feed(m, c, reader, loader, array, results, partial)
        self._finish(m, c, tag, loader, array, results, partial, accumulators.write_port())
        connect(m, results.o, writer.rows)

        command = self.engine.command
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += command.ready.eq(1)
                m.d.sync += c.eq(command.payload)
                with m.If(command.valid):
                    m.next = "CHECK"
            with m.State("CHECK"):
                illegal = (c.m == 0) | (c.m > p.accumulator_depth) | (c.n == 0) | (c.k == 0)
                m.next = "START"
                with m.If(illegal):
                    m.d.comb += [self.engine.error.eq(ErrorCode.ILLEGAL_STEP), self.engine.done.eq(1)]
                    m.next = "IDLE"
            with m.State("START"):
                m.d.comb += [loader.command.valid.eq(1), reader.loops.valid.eq(1), writer.command.valid.eq(1)]
                m.next = "RUN"
            with m.State("RUN"), m.If(writer.done):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.engine.done.eq(1)
                m.next = "IDLE"
        m.d.comb += [
            loader.command.payload.eq(c),
            writer.command.payload.eq(c),
            reader.loops.payload.base.eq(c.a),
            reader.loops.payload.count[0].eq(c.m),
            reader.loops.payload.stride[0].eq(c.a_stride),
            reader.loops.payload.count[1].eq(c.k),
            reader.loops.payload.stride[1].eq(1),
            reader.loops.payload.count[2].eq(c.n),
            reader.loops.payload.stride[2].eq(0),
        ]
        return m

    def _feed(
        self,
        m: Module,
        c: data.View,
        reader: Reader,
        loader: TileLoader,
        array: MacArray,
        results: Queue,
        partial: memory.ReadPort,
    ) -> data.View:
        """Send rows of a into the array, swapping tiles at the first of each; gives the row's tag as it leaves the array."""
        p = self._p
        row, k_left = Signal(range(p.accumulator_depth)), Signal(COUNT_BITS)
        first_tile, last_tile, last_row = Signal(), k_left <= p.rows, row == c.m - 1
        since_swap = Signal(range(TILE_CYCLES), init=TILE_CYCLES - 1)
        places = Signal(range(results.depth + 1), init=results.depth)
        fire = Signal()
        claimed = Signal()  # the channels in the loader belong to rows in the array
        channels_free = loader.channels_full & ~claimed
        tag_layout = data.StructLayout({"valid": 1, "row": row.shape(), "first_tile": 1, "last_tile": 1, "first_row": 1})
        tags = [Signal(tag_layout, name=f"tag{i}") for i in range(array.latency)]
        m.d.comb += [
            fire.eq(
                reader.words.valid
                & ((row != 0) | (loader.tile_full & (since_swap == TILE_CYCLES - 1) & (~last_tile | channels_free)))
                & (~last_tile | (places != 0))
            ),
            reader.words.ready.eq(fire),
            array.swap.eq(fire & (row == 0)),
            array.tile.eq(loader.tile),
            loader.tile_taken.eq(array.swap),
            self.mac_cycle.eq(fire),
        ]
        for i in range(p.rows):
            m.d.comb += array.a[i].eq(reader.words.payload.word_select(i, 8).as_signed() - c.a_zero_point)
        m.d.sync += [
            tags[0].eq(0),
            tags[0].valid.eq(fire),
            tags[0].row.eq(row),
            tags[0].first_tile.eq(first_tile),
            tags[0].last_tile.eq(last_tile),
            tags[0].first_row.eq(row == 0),
            *(later.eq(earlier) for earlier, later in pairwise(tags)),
            places.eq(places - (fire & last_tile) + (results.o.valid & results.o.ready)),
        ]
        with m.If(loader.channels_taken):
            m.d.sync += claimed.eq(0)
        with m.If(fire & (row == 0) & last_tile):
            m.d.sync += claimed.eq(1)
        with m.If(fire & (row == 0)):
            m.d.sync += since_swap.eq(0)
        with m.Elif(since_swap != TILE_CYCLES - 1):
            m.d.sync += since_swap.eq(since_swap + 1)
        with m.If(reader.loops.valid & reader.loops.ready):
            m.d.sync += [row.eq(0), k_left.eq(c.k), first_tile.eq(1)]
        with m.Elif(fire):
            m.d.sync += row.eq(row + 1)
            with m.If(last_row):
                m.d.sync += [row.eq(0), k_left.eq(Mux(last_tile, c.k, k_left - p.rows)), first_tile.eq(last_tile)]
        # The accumulator is read one cycle before the sums leave the array.
        m.d.comb += partial.addr.eq(tags[-2].row)
        return tags[-1]

    def _finish(
        self,
        m: Module,
        c: data.View,
        tag: data.View,
        loader: TileLoader,
        array: MacArray,
        results: Queue,
        partial: memory.ReadPort,
        write: memory.WritePort,
    ) -> None:
        """Accumulate; after the last tile along K add the bias, requantize, and queue the row."""
        p = self._p
        totals = Signal(data.ArrayLayout(ACCUMULATOR, p.cols))
        channels = Signal(channels_layout(p.cols))
        total_tag = Signal.like(tag)
        finished = Signal(1 + requantizer_latency(TOTAL_BITS))
        m.d.sync += [total_tag.eq(tag), finished.eq(finished << 1 | (tag.valid & tag.last_tile))]
        m.d.comb += [
            write.addr.eq(total_tag.row),
            write.en.eq(total_tag.valid),
            write.data.eq(totals),
            loader.channels_taken.eq(tag.valid & tag.last_tile & tag.first_row),
        ]
        with m.If(loader.channels_taken):
            m.d.sync += channels.eq(loader.channels)
        for col in range(p.cols):
            m.submodules[f"requantizer{col}"] = requantizer = Requantizer(TOTAL_BITS)
            m.d.sync += totals[col].eq(array.o[col] + Mux(tag.first_tile, 0, partial.data[col]))
            m.d.comb += [
                requantizer.i.value.eq(totals[col] + channels[col].bias),
                requantizer.i.multiplier.eq(channels[col].multiplier),
                requantizer.i.shift.eq(channels[col].shift),
                requantizer.zero_point.eq(c.out_zero_point),
                requantizer.low.eq(c.low),
                requantizer.high.eq(c.high),
                results.i.payload[col].eq(requantizer.o),
            ]
        m.d.comb += results.i.valid.eq(finished[-1])
