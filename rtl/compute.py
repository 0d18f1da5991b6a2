"""The compute unit: matrix products of int8 operands, int32 accumulators, requantized per channel (model: sw/golden/matmul.py).

For each tile of cols channels and each tile of rows along K, the tile of b is held in the array while all m rows of a stream
past it; partial sums wait in the accumulator memory. In the last tile along K the sums go through the requantizers to the
result writer. The next tile of b is loaded meanwhile.

Loader, reader and writer take each command by themselves, so that the next one's tiles are loaded and its rows follow while the last
results of the one before are written.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.parameters import DEPTHWISE_TAPS, MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import COMPUTE, OUTSIDE
from .delay import delay
from .engine import EnginePort, of_last_two
from .layouts import record_layout
from .mac_array import MacArray
from .requantizer import Requantizer, requantizer_latency
from .result_writer import ResultWriter, results_layout
from .scratchpad import ReadPort, WritePort
from .streams import Queue
from .tile_loader import TileLoader, channels_layout
from .window import WindowReader

ACCUMULATOR = signed(32)
_CONSTANTS = "a_zero_point", "depthwise", "maximum"  # of a command, while its rows are shown
TOTAL_BITS = 33  # of an accumulator with its bias
_PORTS = "read_b", "read_a", "write"  # in the order of the parts that use them: loader, reader, writer
TILE_CYCLES = 4  # at least, between two rows of the same index: the accumulator's read, add and write
FINISH_LATENCY = 1 + requantizer_latency(TOTAL_BITS)  # cycles from a sum to its result: bias, requantizer


class ComputeUnit(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a, read_b, write: scratchpad ports. read_a_older, ...: not the newest command uses the port, but the
    one before it.
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
                **{f"{port}_older": Out(1) for port in _PORTS},
                "mac_cycle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        layout = record_layout(COMPUTE)
        m.submodules.loader = loader = TileLoader(p, layout)
        m.submodules.reader = reader = WindowReader(p)
        m.submodules.array = array = MacArray(p.rows, p.cols, depthwise=p.depthwise)
        m.submodules.writer = writer = ResultWriter(p, layout)
        connect(m, reader.port, flipped(self.read_a))
        connect(m, loader.port, flipped(self.read_b))
        connect(m, writer.port, flipped(self.write))
        results_depth = array.latency + FINISH_LATENCY + 6  # rows between the array's input and the writer
        m.submodules.results = results = Queue(results_layout(p.cols), depth=results_depth)
        accumulators = memory.Memory(shape=data.ArrayLayout(ACCUMULATOR, p.cols), depth=p.accumulator_depth, init=[])
        m.submodules.accumulators = accumulators
        partial = accumulators.read_port()
        constants = self._dispatch(m, loader, reader, writer)
        tag = self._feed(m, constants, reader, loader, array, results, partial)
        self._finish(m, tag, loader, array, results, partial, accumulators.write_port())
        connect(m, results.o, writer.rows)
        return m

    def _dispatch(self, m: Module, loader: TileLoader, reader: WindowReader, writer: ResultWriter) -> data.View:
        """Check each command and offer it to its three parts; gives _CONSTANTS of the one whose rows the reader shows."""
        p, command = self._p, self.engine.command
        c = Signal(command.payload.shape())
        parts = loader.command, reader.command, writer.command
        unchecked, offered = Signal(2), Signal(len(parts))  # to the parts that have not taken the command yet
        illegal = Signal()
        most = p.accumulator_depth
        row_bits = most.bit_length()
        counts = c.m, c.lines, c.n, c.k, c.taps_x, c.taps_y
        rows = Signal(2 * row_bits)
        too_many = (c.m > most) | (c.lines > most) | (rows > most)
        wrong_taps = (c.depthwise & (c.k > DEPTHWISE_TAPS if p.depthwise else 1)) | (c.maximum & ~c.depthwise)
        wrong_b = (c.b_narrow == 3) | ((c.b_narrow != 0) & ~c.b_transposed)
        m.d.sync += rows.eq(c.m[:row_bits] * c.lines[:row_bits])
        m.d.sync += illegal.eq(Cat(count == 0 for count in counts).any() | too_many | wrong_taps | wrong_b)
        refused = offered.any() & illegal & ~writer.busy  # as the oldest one
        m.d.comb += [
            command.ready.eq(~unchecked.any() & ~offered.any()),
            self.engine.error.eq(Mux(refused, ErrorCode.ILLEGAL_STEP, ErrorCode.NONE)),
            self.engine.begun.eq(reader.begins | refused),
            self.engine.done.eq(writer.done | refused),
            Cat(getattr(self, f"{port}_older") for port in _PORTS).eq(offered | unchecked.any().replicate(len(parts)) | reader.older << 1),
            loader.command.valid.eq(offered[0] & ~illegal),
            reader.command.valid.eq(offered[1] & ~illegal),
            reader.complete.eq(self.engine.complete),
            writer.command.valid.eq(offered[2] & ~illegal),
            *(part.payload.eq(c) for part in parts),
        ]
        m.d.sync += offered.eq(Mux(refused, 0, offered & ~Cat(part.valid & part.ready for part in parts)))
        m.d.sync += unchecked.eq(Cat(command.valid & command.ready, unchecked))
        with m.If(unchecked[-1]):
            m.d.sync += offered.eq(~0)
        with m.If(command.ready):
            m.d.sync += c.eq(command.payload)

        # Rows of the command before may be on their way when the reader takes a command.
        _, constants = of_last_two(m, reader.command.valid & reader.command.ready, c, _CONSTANTS)
        shown = Signal(init=1)
        with m.If(reader.rows.valid & reader.rows.ready & reader.rows.payload.note.last):
            m.d.sync += shown.eq(~shown)
        return constants(shown)

    def _feed(
        self,
        m: Module,
        constants: data.View,
        reader: WindowReader,
        loader: TileLoader,
        array: MacArray,
        results: Queue,
        partial: memory.ReadPort,
    ) -> data.View:
        """Send rows of a into the array, swapping tiles at the first of each; gives the row's tag as it leaves the array."""
        p = self._p
        row, first_tile = Signal(range(p.accumulator_depth)), Signal(init=1)
        note = reader.rows.payload.note
        last_row, last_tile = note.last_row, note.last_tile
        first_row, swaps = Signal(init=1), Signal(TILE_CYCLES - 1)  # swaps: in the last cycles
        places, any_place = Signal(range(results.depth + 1), init=results.depth), Signal(init=1)
        fire, claims, given = Signal(), Signal(), Signal()
        claimed = Signal()  # the channels in the loader belong to rows in the array
        channels_free = loader.channels_full & ~claimed
        tag_layout = data.StructLayout({"valid": 1, "row": row.shape(), "first_tile": 1, "last_tile": 1, "first_row": 1, "maximum": 1})
        tags = [Signal(tag_layout, name=f"tag{i}") for i in range(array.latency)]
        m.d.comb += [
            fire.eq(
                reader.rows.valid
                & note.window
                & (~first_row | (loader.tile_ready & ~swaps.any() & (~last_tile | channels_free)))
                & (~last_tile | any_place)
            ),
            reader.rows.ready.eq(fire | ~note.window),
            array.swap.eq(fire & first_row),
            array.tile.eq(loader.tile),
            loader.tile_taken.eq(swaps[0]),
            self.mac_cycle.eq(fire),
            claims.eq(fire & last_tile),
            given.eq(results.o.valid & results.o.ready),
        ]
        if p.depthwise:
            m.d.comb += [
                array.shift.eq(reader.rows.valid & reader.rows.ready),
                array.by_column.eq(constants.depthwise),
            ]
        outside = Mux(constants.maximum, OUTSIDE, 0)
        for i, octet in enumerate(reader.rows.payload.octets):
            m.d.comb += array.a[i].eq(Mux(reader.rows.payload.inside[i], octet.as_signed() - constants.a_zero_point, outside))
        m.d.sync += [
            tags[0].eq(0),
            tags[0].valid.eq(fire),
            tags[0].row.eq(row),
            tags[0].first_tile.eq(first_tile),
            tags[0].last_tile.eq(last_tile),
            tags[0].first_row.eq(first_row),
            tags[0].maximum.eq(constants.maximum),
            *(later.eq(earlier) for earlier, later in pairwise(tags)),
            places.eq(places - claims + given),
            any_place.eq((places > 1) | given | ((places == 1) & ~claims)),
            swaps.eq(Cat(array.swap, swaps)),
        ]
        with m.If(loader.channels_taken):
            m.d.sync += claimed.eq(0)
        with m.If(array.swap & last_tile):
            m.d.sync += claimed.eq(1)
        with m.If(fire):
            m.d.sync += [row.eq(Mux(last_row, 0, row + 1)), first_row.eq(last_row)]
            with m.If(last_row):
                m.d.sync += first_tile.eq(last_tile)
        # The accumulator is read two cycles before the sums leave the array: one of them for the register behind the memory.
        m.d.comb += partial.addr.eq(tags[-3].row)
        return tags[-1]

    def _finish(
        self,
        m: Module,
        tag: data.View,
        loader: TileLoader,
        array: MacArray,
        results: Queue,
        partial: memory.ReadPort,
        write: memory.WritePort,
    ) -> None:
        """Accumulate; after the last tile along K add the bias, requantize, and queue the row."""
        p = self._p
        earlier, totals = (Signal(data.ArrayLayout(ACCUMULATOR, p.cols), name=name) for name in ("earlier", "totals"))
        channels = Signal(channels_layout(p.cols))
        total_tag = Signal.like(tag)
        finished = Signal(1 + FINISH_LATENCY)
        m.d.sync += [earlier.eq(partial.data), total_tag.eq(tag), finished.eq(finished << 1 | (tag.valid & tag.last_tile))]
        m.d.comb += [
            write.addr.eq(total_tag.row),
            write.en.eq(total_tag.valid),
            write.data.eq(totals),
            loader.channels_taken.eq(tag.valid & tag.last_tile & tag.first_row),
        ]
        with m.If(loader.channels_taken):
            m.d.sync += channels.eq(loader.channels)
        # These are taken late in the requantizer, where rows of the command before may be.
        late = {name: delay(m, channels[name], FINISH_LATENCY - n) for name, n in (("out_zero_point", 2), ("low", 1), ("high", 1))}
        for col in range(p.cols):
            record = channels.records[col]
            m.submodules[f"requantizer{col}"] = requantizer = Requantizer(TOTAL_BITS)
            requantizer_input = Signal.like(requantizer.i, name=f"biased{col}", reset_less=True)
            total = array.o[col] + Mux(tag.first_tile, 0, earlier[col])
            if p.depthwise:
                before = earlier[col][: array.sum_shape.width].as_signed()
                largest = Mux(tag.first_tile | (array.o[col] > before), array.o[col], before)
                total = Mux(tag.maximum, largest, total)
            m.d.sync += [
                totals[col].eq(total),
                requantizer_input.value.eq(totals[col] + record.bias),
                requantizer_input.multiplier.eq(record.multiplier),
                requantizer_input.shift.eq(record.shift),
            ]
            m.d.comb += [
                requantizer.i.eq(requantizer_input),
                requantizer.zero_point.eq(late["out_zero_point"]),
                requantizer.low.eq(late["low"]),
                requantizer.high.eq(late["high"]),
                results.i.payload[col].eq(requantizer.o),
            ]
        m.d.comb += results.i.valid.eq(finished[-1])
