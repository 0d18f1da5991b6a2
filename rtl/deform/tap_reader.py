"""Reads the points of each pixel's taps from the line buffer: those of a turn at once, but of points that lie in one bank one a cycle."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.deform import DeformCircuit
from ..delay import delay
from ..select import union
from .layouts import ROWS_BITS, WEIGHT, place_bits, points_layout
from .line_buffer import LineBuffer, of_banks


def turn_layout(c: DeformCircuit, word_bytes: int) -> data.StructLayout:
    """A turn of a pixel. words: of each copy and tap, if it is ``inside`` of the map and has a weight. weights: where the circuit is
    fractional. first, last: turn of the pixel. new_group: the first one of a word of channels."""
    words = {"words": data.ArrayLayout(data.ArrayLayout(8 * word_bytes, c.taps), c.copies)}
    inside = {"inside": data.ArrayLayout(c.taps, c.copies)}
    weights = {"weights": data.ArrayLayout(data.ArrayLayout(WEIGHT, c.taps), c.copies)} if c.fractional else {}
    return data.StructLayout({**words, **inside, **weights, **dict.fromkeys(("first", "last", "new_group"), 1)})


class TapReader(wiring.Component):
    """Members
    -------
    points: of pixels; taken with a pixel's last points. may_begin: with the first points of a pixel; a line's also waits for its rows.
    filled: rows that have been written to the line buffer. places, words: of it.
    frees: rows that are not needed any more. conflict: high in a cycle in which a point waits for a bank.
    by_tap: a pixel is read once for each tap, which alone is inside then.
    turn, turn_valid: ``latency`` cycles after its last points. ends_pixel: high as a pixel's last points are asked for; begins_group: as
    the first ones of a word of channels are. new_group: these are the next ones.
    """

    latency = LineBuffer.latency + 2  # a register before the banks, and one behind the choice among them

    def __init__(self, circuit: DeformCircuit, word_bytes: int) -> None:
        self._c, self._word = circuit, word_bytes
        super().__init__(
            {
                "points": In(stream.Signature(points_layout(circuit))),
                "may_begin": In(1),
                "filled": In(ROWS_BITS),
                "by_tap": In(1),
                "places": Out(of_banks(circuit, place_bits(circuit))),
                "words": In(of_banks(circuit, 8 * word_bytes)),
                "frees": Out(ROWS_BITS),
                **dict.fromkeys(("conflict", "ends_pixel", "new_group", "begins_group"), Out(1)),
                "turn": Out(turn_layout(circuit, word_bytes)),
                "turn_valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, points = self._c, self.points.payload
        second = Signal() if c.copies > 1 else Const(0, 1)
        begun, there = Signal(), Signal()  # some of the pixel's points have been asked for; its line's rows have been filled
        turn = Signal(points.turns.shape().elem_shape)
        m.d.comb += turn.eq(Mux(second, points.turns[-1].as_value(), points.turns[0].as_value()))
        active, ends_turn = Signal(), Signal()
        tap, first_tap = Signal(range(c.taps)), Signal(init=1)  # the one that is read, and whether it is the first
        last_tap, read = ~self.by_tap | (tap == c.taps - 1), Cat(~self.by_tap | (tap == t) for t in range(c.taps))
        wanted = [Cat(point.wanted for point in points) & read for points in turn.taps]
        left_of = [self._ask(m, copy, turn, wanted[copy], active, ends_turn) for copy in range(c.copies)]
        ends = second | ~points.has_second
        m.d.comb += [
            active.eq(self.points.valid & (begun | (self.may_begin & (~points.new_line | there)))),
            ends_turn.eq(active & ~Cat(left_of).any()),
            self.conflict.eq(active & ~ends_turn),
            self.ends_pixel.eq(ends_turn & ends),
            self.points.ready.eq(self.ends_pixel & last_tap),
            self.new_group.eq(points.new_group & first_tap),
            self.begins_group.eq(active & ~begun & self.new_group),
            self.frees.eq(Mux(self.points.ready, points.frees, 0)),
        ]
        m.d.sync += begun.eq(Mux(self.ends_pixel, 0, begun | active))
        stays = self.points.valid & ~self.points.ready
        m.d.sync += there.eq(stays & ~(self.filled - points.until)[ROWS_BITS - 1])
        with m.If(self.ends_pixel):
            m.d.sync += [tap.eq(Mux(last_tap, 0, tap + 1)), first_tap.eq(last_tap)]
        if c.copies > 1:
            m.d.sync += second.eq(Mux(ends_turn, ~ends, second))
        out = self.turn
        late = self.latency
        m.d.comb += [
            self.turn_valid.eq(delay(m, ends_turn, late, reset_less=False)),
            *(out.first.eq(delay(m, ~second, late)), out.last.eq(delay(m, ends, late))),
            out.new_group.eq(delay(m, self.new_group & ~second, late)),
            *(out.inside[copy].eq(delay(m, wanted[copy], late)) for copy in range(c.copies)),
        ]
        if c.fractional:
            m.d.comb += [
                out.weights[copy][t].eq(delay(m, turn.taps[copy][t].weight, late)) for copy in range(c.copies) for t in range(c.taps)
            ]
        return m

    def _ask(self, m: Module, copy: int, turn: data.View, wanted: Value, active: Value, ends_turn: Value) -> Value:
        """Ask for what the banks of a copy can give in this cycle; gives whether some of the taps' points are left."""
        c = self._c
        points, granted, left = list(turn.taps[copy]), wanted, Const(0, 1)
        if c.arbitrates:
            asked, waiting = Signal(c.taps, name=f"asked{copy}"), Signal(c.taps, name=f"waiting{copy}")  # waiting: from the cycles before
            partly = Signal(name=f"partly{copy}")
            m.d.comb += asked.eq(Mux(partly, waiting, wanted))
            granted = Cat(asked[t] & ~(turn.rivals[copy][t] & asked).any() for t in range(c.taps))
            left = (asked & ~granted).any()
            m.d.sync += waiting.eq(Mux(active, asked & ~granted, asked))
            m.d.sync += partly.eq(Mux(active, ~ends_turn, partly))
        for bank in range(c.banks):
            mine = [granted[t] & (point.bank == bank) for t, point in enumerate(points)]
            m.d.sync += self.places[copy][bank].eq(union(mine, [point.place for point in points]))
        takes, banks = delay(m, granted, self.latency - 1), [delay(m, point.bank, self.latency - 1) for point in points]
        words = Array(self.words[copy][bank] for bank in range(c.banks))
        for t in range(c.taps):
            word = Signal(8 * self._word, name=f"word{t}_{copy}", reset_less=True)
            with m.If(takes[t]):
                m.d.sync += word.eq(words[banks[t]])
            m.d.comb += self.turn.words[copy][t].eq(word)
        return left
