"""The deformable convolution engine: depthwise kernels whose taps lie where offsets say (model: sw/golden/deform.py).

The rows of the map pass a line buffer, word of channels by word of channels:

    map -> row_fill -> line_buffer
    line_walk -> pixel_walk, offsets, masks -> placer -> tap_reader -> tap_sums -> results

A pixel takes a cycle; between pixels of the map two, and one more for each point that meets another one in a bank of the line buffer.
"""

from collections.abc import Iterable

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..access import Reader, Writer
from ..arch.deform import Form
from ..arch.parameters import MachineParameters
from ..arch.registers import ErrorCode
from ..arch.steps import DEFORM, Engine
from ..delay import delay
from ..engine import EnginePort
from ..layouts import record_layout
from ..places import Places
from ..scratchpad import ReadPort, WritePort
from ..skid import Skid
from ..streams import Queue
from .group_loader import GroupLoader
from .line_buffer import LineBuffer
from .line_walk import LineWalk
from .pixel_walk import PixelWalk
from .pixel_words import PixelWords
from .placer import Placer, offsets_of
from .row_fill import RowFill
from .tap_reader import TapReader
from .tap_sums import TapSums

_LINES_AHEAD = 3  # that are known before their pixels are


class DeformEngine(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a, read_b, read_offsets, where the machine has masks read_masks, write: scratchpad ports.
    tap_conflict: high in a cycle in which a tap waits for a bank of the line buffer.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.deform is not None
        self._p, self._c = parameters, parameters.deform
        names = "read_a", "read_b", "read_offsets", *(["read_masks"] if self._c.masked else [])
        word = parameters.word_bytes
        super().__init__(
            {
                "engine": In(EnginePort(Engine.DEFORM, parameters)),
                **{name: Out(ReadPort(word)) for name in names},
                "write": Out(WritePort(word)),
                "tap_conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, word = self._c, self._p.word_bytes
        command, start, done = Signal(record_layout(DEFORM), reset_less=True), Signal(), Signal()
        m.submodules.line_buffer = buffer = LineBuffer(c, word)
        m.submodules.row_fill = fill = RowFill(c, word)
        m.submodules.taps = taps = TapReader(c, word)
        m.submodules.sums = sums = TapSums(self._p, c)
        m.d.comb += [
            *(buffer.write.eq(fill.write), buffer.write_valid.eq(fill.write_valid)),
            *(buffer.places.eq(taps.places), taps.words.eq(buffer.words)),
            *(fill.frees.eq(taps.frees), fill.start.eq(start)),
            *(sums.command.eq(command), sums.turn.eq(taps.turn), sums.turn_valid.eq(taps.turn_valid)),
            self.tap_conflict.eq(taps.conflict),
        ]
        self._place(m, command, start, fill, taps)
        may_begin = self._load(m, command, start, taps, sums)
        written = self._write(m, command, start, taps, sums, may_begin)
        map_loops = (command.width, command.a_pixel), (command.height, command.a_line), (command.groups, 1)
        connect(m, self._reader(m, "a", command.a, map_loops, start).words, fill.words)
        complete = Signal()
        m.d.comb += [done.eq(complete & fill.done), fill.drains.eq(complete)]
        m.d.sync += complete.eq(written | (complete & ~done))
        self._dispatch(m, command, start, done)
        return m

    def _dispatch(self, m: Module, command: data.View, start: Value, done: Value) -> None:
        """Take a command, check it, and do it."""
        engine, illegal = self.engine, Signal()
        m.d.sync += illegal.eq(_illegal(command, self._p))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += engine.command.ready.eq(1)
                m.d.sync += command.eq(engine.command.payload)
                with m.If(engine.command.valid):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "START"
            with m.State("START"):
                m.d.comb += [engine.begun.eq(1), start.eq(~illegal)]
                m.next = "WORK"
                with m.If(illegal):
                    m.d.comb += [engine.error.eq(ErrorCode.ILLEGAL_STEP), engine.done.eq(1)]
                    m.next = "IDLE"
            with m.State("WORK"), m.If(done):
                m.d.comb += engine.done.eq(1)
                m.next = "IDLE"

    def _reader(self, m: Module, name: str, address: Value, loops: Iterable[tuple[Value | int, Value | int]], start: Value) -> Reader:
        """Reads the words of (count, stride) loops, innermost first."""
        loops = list(loops)
        reader = Reader(self._p.word_bytes, steps=(1,) * len(loops))
        m.submodules[f"reader_{name}"] = reader
        connect(m, reader.port, flipped(getattr(self, f"read_{name}")))
        _walk(m, reader, address, loops, start)
        return reader

    def _place(self, m: Module, command: data.View, start: Value, fill: RowFill, taps: TapReader) -> None:
        """From lines to the points of each pixel's taps."""
        c, word = self._c, self._p.word_bytes
        m.submodules.lines = lines = LineWalk(c)
        m.submodules.line_queue = queue = Queue(lines.lines.payload.shape(), depth=_LINES_AHEAD)
        m.submodules.pixels = walk = PixelWalk(c)
        connect(m, fill.bases, lines.bases)
        connect(m, lines.lines, queue.i)
        connect(m, queue.o, walk.lines)
        m.submodules.next_points = points = Skid(taps.points.payload.shape())  # whether the tap reader goes on comes a long way
        connect(m, points.o, taps.points)
        placer, moves, there = Placer(c), Signal(), Signal()
        m.submodules.placer = EnableInserter(moves)(placer)
        m.d.comb += [
            *(lines.command.eq(command), lines.start.eq(start), taps.filled.eq(fill.filled)),
            *(walk.command.eq(command), placer.command.eq(command)),
        ]
        sources = [(walk.pixels, 1)]
        most = -(-2 * offsets_of(c) // word)
        narrow, wide = (-(-size * 2 * c.taps // word) for size in (1, 2))
        count = Mux(command.form == Form.FREE, Mux(command.offset_wide, wide, narrow), 1)
        octets = self._pixel_words(m, command, "offsets", count, most, command.form != Form.REGULAR, start)
        numbers = [
            Mux(command.offset_wide, octets.payload.word_select(i, 16).as_signed(), octets.payload.word_select(i, 8).as_signed())
            for i in range(offsets_of(c))
        ]
        m.d.comb += [
            placer.i.pixel.eq(walk.pixels.payload),
            *(at.eq(number) for at, number in zip(placer.i.offsets, numbers, strict=True)),
        ]
        sources.append((octets, command.form != Form.REGULAR))
        if c.masked:
            words = -(-c.taps // word)
            masks = self._pixel_words(m, command, "masks", words, words, command.masked, start)
            m.d.comb += placer.i.masks.as_value().eq(masks.payload)
            sources.append((masks, command.masked))
        m.d.comb += there.eq(Cat(source.valid | ~needed for source, needed in sources).all())
        m.d.comb += [source.ready.eq(there & moves) for source, _ in sources]
        under_way = Signal(Placer.latency)
        m.d.comb += [moves.eq(~under_way[-1] | points.i.ready), points.i.payload.eq(placer.o), points.i.valid.eq(under_way[-1])]
        with m.If(moves):
            m.d.sync += under_way.eq(Cat(there, under_way))

    def _pixel_words(
        self, m: Module, command: data.View, name: str, count: Value | int, most: int, needed: Value, start: Value
    ) -> stream.Interface:
        """What each pixel has of ``name``, for each word of channels anew."""
        stride, line = command[f"{name}_stride"], command[f"{name}_line"]
        loops = (count, 1), (command.columns, stride), (command.lines, line), (command.groups, 0)
        reader = self._reader(m, name, command[name], loops, start & needed)
        if name == "offsets":
            m.d.comb += reader.frees.eq(command.offsets_frees)
        words = PixelWords(self._p.word_bytes, most=most, note_bits=len(loops))
        m.submodules[f"{name}_words"] = words
        connect(m, reader.words, words.words)
        return words.pixels

    def _load(self, m: Module, command: data.View, start: Value, taps: TapReader, sums: TapSums) -> Value:
        """Weights of each word of channels; gives whether those of the next pixel are there."""
        m.submodules.loader = loader = GroupLoader(self._p)
        loops = (self._p.deform_group_words, 1), (command.groups, self._p.deform_group_words)
        connect(m, self._reader(m, "b", command.b, loops, start).words, loader.words)
        claimed = Signal()  # what is loaded belongs to pixels that are under way
        m.d.comb += [sums.kernels.eq(loader.kernels), sums.records.eq(loader.records), loader.taken.eq(sums.records_taken)]
        m.d.sync += claimed.eq((claimed | taps.begins_group) & ~sums.records_taken)
        return ~taps.new_group | (loader.full & ~claimed)

    def _write(self, m: Module, command: data.View, start: Value, taps: TapReader, sums: TapSums, may_begin: Value) -> Value:
        """Results to the scratchpad; gives whether the last one is there."""
        m.submodules.results = results = Queue(8 * self._p.word_bytes, depth=TapReader.latency + sums.latency + 4, latency=1)
        m.submodules.writer = writer = Writer(self._p.word_bytes, steps=(1,) * 4)
        connect(m, writer.port, flipped(self.write))
        connect(m, results.o, writer.words)
        places = Places(results.depth)
        taps_of_pixel = Mux(command.by_tap, self._c.taps, 1), command.out_tap
        loops = taps_of_pixel, (command.columns, command.out_pixel), (command.lines, command.out_line), (command.groups, 1)
        _walk(m, writer, command.out, loops, start)
        m.d.comb += [
            *(results.i.payload.eq(sums.o), results.i.valid.eq(sums.o_valid)),
            *(taps.may_begin.eq(may_begin & places.any), taps.by_tap.eq(command.by_tap)),
        ]
        given = delay(m, results.o.valid & results.o.ready, 1, reset_less=False)  # it comes a long way
        m.d.sync += places.change(taken=taps.ends_pixel, given=given)
        return writer.done


def _walk(m: Module, walker: Reader | Writer, address: Value, loops: Iterable[tuple[Value | int, Value | int]], start: Value) -> None:
    of = walker.loops.payload
    m.d.comb += [of.base.address.eq(address), walker.loops.valid.eq(start)]
    for i, (count, stride) in enumerate(loops):
        m.d.comb += [of.count[i].eq(count), of.stride[i].address.eq(stride)]


def _illegal(command: data.View, p: MachineParameters) -> Value:
    """Whether the engine refuses a command."""
    c = p.deform
    assert c is not None
    counts = (command[name] for name in ("height", "width", "lines", "columns", "groups"))
    starts = (command[name] for name in ("y_start", "x_start"))
    return (
        Cat(count == 0 for count in counts).any()
        | (command.width > c.width)
        | (command.reach > c.reach)
        | Cat((start > command.reach) | (start < -command.reach) for start in starts).any()
        | Cat((step == 0) | (step == 3) for step in (command.y_step, command.x_step)).any()
        | (command.form > (Form.FREE if c.free else Form.SQUARE))
        | (command.fraction > (4 if c.bilinear else 0))
        | (command.masked & (not c.masked))
    )
