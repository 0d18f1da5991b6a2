"""Where the rows of bytes begin that make a compute command's windows, in the order in which the array takes them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import AddressGenerator
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, LINE_BITS, PLACE_BITS, STRIDE_BITS, TAP_BITS, Engine, place_bits
from .engine import command_layout
from .skid import Skid

_POSITION = data.StructLayout({"line": ADDRESS_BITS, "x": signed(PLACE_BITS), "y": signed(LINE_BITS)})
_STRIDE = data.StructLayout({"line": STRIDE_BITS, "x": STRIDE_BITS, "y": TAP_BITS})
# Whether a row completes a window (else it is one of those before it), and what it is the last of: the windows of a tile, the tiles of k,
# the command.
ROW_NOTE = data.StructLayout({"window": 1, "last_row": 1, "last_tile": 1, "last": 1})
# Of a row of bytes: x of its first place, and the address of the word that has it. beyond: its line is none of the map. starts_outside,
# ends_outside: its first word is outside of the map, its last one. straddles: these are two words. primes: both are new. follows: it
# starts in the word in which the row before it ended. again: it ends there, and a word need not be read for what it frees.
_FLAGS = "beyond", "starts_outside", "ends_outside", "straddles", "primes", "follows", "again"
PLACE = data.StructLayout({"x": signed(PLACE_BITS), "address": ADDRESS_BITS, **dict.fromkeys(_FLAGS, 1), "note": ROW_NOTE})


class WindowWalk(wiring.Component):
    """Members
    -------
    command: a compute command, taken when all places of the one before are out but for two at most.
    places: for each tile of channels, then each tile of k, tap by tap: the place of each row.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {"command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))), "places": Out(stream.Signature(PLACE))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, c = self._p, self.command.payload
        # From the innermost: windows of a line, lines, words of a tap, taps, tiles of channels.
        m.submodules.generator = generator = AddressGenerator((1, 1, p.rows, 1, 1, p.cols), _POSITION, _STRIDE)
        word = 1 << place_bits(p.rows)
        loops = (
            (c.m, 0, c.x_step, 0),
            (c.lines, c.a_line, 0, c.y_step),
            (c.k, 0, word, 0),
            (c.taps_x, 0, c.x_tap, 0),
            (c.taps_y, c.a_tap_y, 0, c.y_tap),
            (c.n, 0, Mux(c.depthwise, word, 0), 0),
        )
        base = generator.i.payload.base
        m.d.comb += [base.line.eq(c.a), base.x.eq(c.x_start), base.y.eq(c.y_start)]
        for i, (count, line, x, y) in enumerate(loops):
            stride = generator.i.payload.stride[i]
            m.d.comb += [generator.i.payload.count[i].eq(count), stride.line.eq(line), stride.x.eq(x), stride.y.eq(y)]
        m.d.comb += [generator.i.valid.eq(self.command.valid), self.command.ready.eq(generator.i.ready)]

        # Rows until one completes a window, and whether this one does.
        left, skip_first, skip = (Signal(TAP_BITS, name=name) for name in ("left", "skip_first", "skip"))
        window = Signal()
        m.submodules.skid = skid = Skid(PLACE)  # its ready is a register: the loops are long enough by themselves
        place, ends, position = skid.i.payload, generator.o.payload.ends, generator.o.payload.position
        bits = place_bits(p.rows)
        first_byte, first_word = position.x[:bits], position.x[bits:].as_signed()
        straddles = first_byte.any() if p.reads_any_byte else Const(0, 1)
        end_word = Signal.like(first_word)
        width, height = Signal.like(c.width), Signal.like(c.height)

        def outside(word: Value) -> Value:
            return place.beyond | (Cat(Const(0, bits), word).as_unsigned() >= width)

        # Of the row before: the word in which it ended, and the one before that; whether it was the last one on a line of windows.
        last_word, before_last, new_line = Signal.like(first_word), Signal.like(first_word), Signal()
        ends_in_last = first_word == Mux(straddles, before_last, last_word)  # compared without a sum, which would take more time
        m.d.comb += [
            end_word.eq(first_word + straddles),
            *(place.x.eq(position.x), place.address.eq(position.line + first_word)),
            place.beyond.eq(position.y.as_unsigned() >= height),  # as unsigned numbers, negative ones are beyond any size
            place.straddles.eq(straddles),
            *(place.starts_outside.eq(outside(first_word)), place.ends_outside.eq(outside(end_word))),
            place.follows.eq(first_word == last_word),
            place.primes.eq(straddles & (new_line | ~(place.follows | ends_in_last))),
            place.again.eq(ends_in_last & ~new_line & ~place.note.last if p.reads_any_byte else 0),
            place.note.window.eq(window),
            place.note.last_row.eq(ends[:2].all() & window),
            place.note.last_tile.eq(ends[2:5].all()),
            place.note.last.eq(ends.all() & window),
            skid.i.valid.eq(generator.o.valid),
            generator.o.ready.eq(skid.i.ready),
            generator.more.eq(~window),
        ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [left.eq(c.skip_first), window.eq(c.skip_first == 0), skip_first.eq(c.skip_first), skip.eq(c.skip)]
            m.d.sync += [width.eq(c.width), height.eq(c.height), new_line.eq(1)]
        with m.Elif(generator.o.valid & generator.o.ready):
            following = Mux(ends[0], skip_first, skip)
            m.d.sync += [left.eq(Mux(window, following, left - 1)), window.eq(Mux(window, following == 0, left == 1))]
            m.d.sync += [last_word.eq(end_word), before_last.eq(end_word - 1), new_line.eq(ends[0] & window)]
        connect(m, flipped(self.places), skid.o)
        return m
