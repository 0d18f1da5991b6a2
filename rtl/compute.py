"""The compute unit: matrix products of int8 operands, int32 accumulators, requantized per channel (model: sw/golden/matmul.py).

For each tile of cols channels and each tile of rows along K, the tile of b is held in the array while all m rows of a stream
past it; partial sums wait in the accumulator memory. In the last tile along K the sums go through the requantizers to the
result writer. The next tile of b is loaded meanwhile.

Loader, reader and writer take each command by themselves, so that the next one's tiles are loaded and its rows follow while the last
results of the one before are written.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.parameters import DEPTHWISE_TAPS, TILE_CYCLES, MachineParameters
from .arch.registers import ErrorCode
from .arch.steps import OUTSIDE, Engine
from .delay import delay
from .engine import EnginePort, of_last_two
from .mac_columns import MacColumns
from .places import Places
from .residual import ResidualAdd
from .result_pool import ResultPool
from .result_table import ResultTable
from .result_writer import ResultWriter, named_results_layout
from .scratchpad import ReadPort, WritePort
from .streams import Queue
from .tile_loader import TileLoader
from .window import WindowReader

_CONSTANTS = "a_zero_point", "depthwise", "maximum", "tabulated"  # of a command, while its rows are shown


def _ports(p: MachineParameters) -> list[list[str]]:
    """Of the scratchpad: the ports of each part, of loader, reader, writer, residual."""
    return [[f"read_b{i}" for i in range(p.b_words)], ["read_a"], ["write"], *([["read_r"]] if p.residual else [])]


class ComputeUnit(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a, read_b0 and more of b_words, write, and read_r where the machine has a residual: scratchpad
    ports. read_a_older, ...: not the newest command uses the port, but the one before it.
    mac_cycle: high in each cycle in which a row entered the array.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        names, word = [name for part in _ports(parameters) for name in part], parameters.word_bytes
        super().__init__(
            {
                "engine": In(EnginePort(Engine.COMPUTE, parameters)),
                **{name: Out(WritePort(word) if name == "write" else ReadPort(word)) for name in names},
                **{f"{name}_older": Out(1) for name in names},
                "mac_cycle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.loader = loader = TileLoader(p)
        m.submodules.reader = reader = WindowReader(p)
        m.submodules.columns = columns = MacColumns(p)
        m.submodules.table = table = ResultTable(p)
        m.submodules.writer = writer = ResultWriter(p)
        connect(m, reader.port, flipped(self.read_a))
        for i in range(p.b_words):
            connect(m, getattr(loader, f"port{i}"), flipped(getattr(self, f"read_b{i}")))
        connect(m, writer.port, flipped(self.write))
        sink, others = writer.rows, []
        if p.residual:
            m.submodules.residual = residual = ResidualAdd(p)
            sink, others = residual.rows, [residual]
            connect(m, residual.port, flipped(self.read_r))
            connect(m, residual.sums, writer.rows)
        # Rows between what claims a place for them and what takes them.
        m.submodules.results = results = Queue(named_results_layout(p.cols), depth=columns.latency + table.latency + 5, latency=1)
        shown, constants = self._dispatch(m, loader, reader, writer, *others)
        m.d.comb += columns.row.command.eq(shown)
        self._feed(m, constants, reader, loader, columns, results)
        m.d.comb += [
            *(table.i.eq(columns.o), table.tabulated.eq(columns.tabulated), table.command.eq(columns.command)),
            *(table.write.eq(loader.table), table.write_valid.eq(loader.table_valid)),
            *(results.i.payload.results.eq(table.o), results.i.payload.command.eq(delay(m, columns.command, table.latency))),
            results.i.valid.eq(delay(m, columns.valid, table.latency, reset_less=False)),
        ]
        source = results.o
        if p.pools:
            m.submodules.pool = pool = ResultPool(p)
            taken = reader.command.valid & reader.command.ready
            m.d.comb += [pool.command.eq(reader.command.payload), pool.taken.eq(taken)]
            connect(m, source, pool.rows)
            source = pool.pooled
        m.d.comb += [
            sink.payload.eq(source.payload if p.residual else source.payload.results),
            *(sink.valid.eq(source.valid), source.ready.eq(sink.ready)),
        ]
        return m

    def _dispatch(
        self, m: Module, loader: TileLoader, reader: WindowReader, writer: ResultWriter, *others: ResidualAdd
    ) -> tuple[Value, data.View]:
        """Check each command as it waits, and offer it to its parts; gives the bit that names the one whose rows the reader shows, and
        its _CONSTANTS."""
        p, command = self._p, self.engine.command
        c = Signal(command.payload.shape())
        parts = loader, reader, writer, *others
        commands = [part.command for part in parts]
        offered = Signal(len(parts))  # to the parts that have not taken the command yet
        illegal = Signal()
        refused = offered.any() & illegal & ~writer.busy  # as the oldest one
        older = offered | loader.older  # the loader is the first of the parts
        m.d.comb += [
            command.ready.eq(~offered.any()),
            self.engine.error.eq(Mux(refused, ErrorCode.ILLEGAL_STEP, ErrorCode.NONE)),
            self.engine.begun.eq(reader.begins | refused),
            self.engine.done.eq(writer.done | refused),
            *(getattr(self, f"{name}_older").eq(older[i]) for i, names in enumerate(_ports(p)) for name in names),
            *(part.valid.eq(offered[i] & ~illegal) for i, part in enumerate(commands)),
            *(reader.complete.eq(self.engine.complete), reader.tiles.eq(writer.tiles)),
            *(part.payload.eq(c) for part in commands),
        ]
        m.d.sync += offered.eq(Mux(refused, 0, offered & ~Cat(part.valid & part.ready for part in commands)))
        wrong = _illegal(m, command.payload, p)
        with m.If(command.ready):
            m.d.sync += [c.eq(command.payload), illegal.eq(wrong), offered.eq(command.valid.replicate(len(parts)))]

        # Rows of the command before may be on their way when the reader takes a command.
        _, constants = of_last_two(m, reader.command.valid & reader.command.ready, c, _CONSTANTS)
        shown = Signal(init=1)
        with m.If(reader.rows.valid & reader.rows.ready & reader.rows.payload.note.last):
            m.d.sync += shown.eq(~shown)
        return shown, constants(shown)

    def _feed(
        self,
        m: Module,
        constants: data.View,
        reader: WindowReader,
        loader: TileLoader,
        columns: MacColumns,
        results: Queue,
    ) -> None:
        """Send rows of a into the array, swapping tiles at the first of each."""
        p = self._p
        row, first_tile = Signal(range(p.accumulator_depth)), Signal(init=1)
        note = reader.rows.payload.note
        last_row, last_tile = note.last_row, note.last_tile
        first_row, swapped = Signal(init=1), Signal()
        # Cycles, as many ones, before the next tile may begin: its i-th row TILE_CYCLES after this one's at the earliest.
        gap = Signal(TILE_CYCLES - 1)
        places = Places(results.depth)
        # A single row waits for none.
        single = first_row & last_row & ~constants.maximum if p.single_cycles == 1 else Const(0)
        fire, finishes, claims, given = Signal(), Signal(), Signal(), Signal()
        room = places.any
        if columns.waiting:
            waiting = Places(columns.waiting)
            room = waiting.any
            m.d.comb += columns.room.eq(places.any)
            m.d.sync += waiting.change(taken=finishes, given=columns.leaves)
        claimed = Signal()  # the channels in the loader belong to rows in the array
        channels_free = loader.channels_full & ~claimed
        array = columns.operands
        m.d.comb += [
            fire.eq(
                reader.rows.valid
                & note.window
                & (~first_row | (loader.tile_ready & ~gap[0] & (~last_tile | channels_free)))
                & (~last_tile | room)
            ),
            reader.rows.ready.eq(fire | ~note.window),
            array.swap.eq(fire & first_row),
            array.tile.eq(loader.tile),
            loader.tile_taken.eq(swapped),
            self.mac_cycle.eq(fire),
            finishes.eq(fire & last_tile),
            claims.eq(columns.leaves if columns.waiting else finishes),
            columns.row.valid.eq(fire),
            columns.row.row.eq(row),
            columns.row.first_tile.eq(first_tile),
            columns.row.last_tile.eq(last_tile),
            columns.row.first_row.eq(first_row),
            columns.row.joins.eq(single & ~first_tile),
            columns.row.maximum.eq(constants.maximum),
            columns.row.tabulated.eq(constants.tabulated),
            columns.channels.eq(loader.channels),
            loader.channels_taken.eq(columns.channels_taken),
            given.eq(results.o.valid & results.o.ready),
        ]
        if p.factor_bits:
            m.d.comb += columns.factors.eq(loader.factors)
        if p.depthwise:
            m.d.comb += [
                array.shift.eq(reader.rows.valid & reader.rows.ready),
                array.by_column.eq(constants.depthwise),
            ]
        outside = Mux(constants.maximum, OUTSIDE, 0)
        for i, octet in enumerate(reader.rows.payload.octets):
            m.d.comb += array.a[i].eq(Mux(reader.rows.payload.inside[i], octet.as_signed() - constants.a_zero_point, outside))
        m.d.sync += [
            *places.change(taken=claims, given=given),
            swapped.eq(array.swap),
            gap.eq(Mux(fire, Mux(single, 0, ~Const(0, len(gap)) >> row), gap >> 1)),
        ]
        with m.If(loader.channels_taken):
            m.d.sync += claimed.eq(0)
        with m.If(array.swap & last_tile):
            m.d.sync += claimed.eq(1)
        with m.If(fire):
            m.d.sync += [row.eq(Mux(last_row, 0, row + 1)), first_row.eq(last_row)]
            with m.If(last_row):
                m.d.sync += first_tile.eq(last_tile)


def _illegal(m: Module, c: data.View, p: MachineParameters) -> Value:
    """Whether a command is one that the unit refuses: known CHECK_CYCLES after it came."""
    illegal, rows = Signal(name="refusable"), Signal(2 * p.accumulator_depth.bit_length())
    most = p.accumulator_depth
    counts = c.m, c.lines, c.n, c.k, c.taps_x, c.taps_y
    too_many = (c.m > most) | (c.lines > most) | (rows > most)
    wrong_taps = (c.depthwise & (c.k > DEPTHWISE_TAPS if p.depthwise else 1)) | (c.maximum & ~c.depthwise)
    too_wide = Cat(c.b_narrow == wider for wider in range(p.least_narrow)).any()
    wide_zero = c.b_zero_point != c.b_zero_point[: p.weight_bits].as_signed()
    factored, added = c.b_factored if p.factor_bits == 0 else 0, c.residual if not p.residual else 0
    wrong_b = (c.b_narrow == 3) | ((c.b_narrow != 0) & ~c.b_transposed) | too_wide | wide_zero | factored
    m.d.sync += rows.eq(c.m[: most.bit_length()] * c.lines[: most.bit_length()])
    m.d.sync += illegal.eq(Cat(count == 0 for count in counts).any() | too_many | wrong_taps | wrong_b | added | _unpackable(c, p))
    return illegal


def _unpackable(c: data.View, p: MachineParameters) -> Value:
    """Whether results can't lie as the command says."""
    cant_repeat = c.repeated & (c.out_wide | c.residual)
    if not p.packing:
        return c.packed | c.pooled | cant_repeat
    in_pairs = ~c.lines[0] if p.pools else Const(0)
    cant_pool = c.pooled & (~c.packed | c.out_wide | c.residual | c.repeated | ~in_pairs)
    return (c.packed & (c.n != p.cols)) | cant_pool | cant_repeat
