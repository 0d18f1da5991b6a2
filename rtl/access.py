"""Address generation: nested loops over the scratchpad, and the reader and writer that walk them with a stream of words."""

from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS
from .countdown import Countdown
from .delay import delay
from .places import Places
from .scratchpad import ASKED, ReadPort, WritePort
from .select import select_one_hot
from .streams import Queue

ADDRESS = data.StructLayout({"address": ADDRESS_BITS})
STRIDE = data.StructLayout({"address": STRIDE_BITS})


def loops_layout(loops: int, position: data.StructLayout = ADDRESS, stride: data.StructLayout = STRIDE) -> data.StructLayout:
    """Where the loops start, and count and stride of each, innermost first. Counts are at least 1; strides in words."""
    return data.StructLayout({"base": position, "count": data.ArrayLayout(COUNT_BITS, loops), "stride": data.ArrayLayout(stride, loops)})


class AddressGenerator(wiring.Component):
    """The positions ``base + sum(index[i] * stride[i])``, one per cycle, loop 0 fastest, index[i] in 0..ceil(count[i] / steps[i]) - 1.

    ``ends``: for each loop whether this is its last iteration. The next loops are taken when the last position is out.
    ``more``: loop 0's iteration goes on with the next position, which does not count as another one.

    position, stride: an address; or several numbers that are walked alike, with the same names.
    """

    def __init__(self, steps: tuple[int, ...], position: data.StructLayout = ADDRESS, stride: data.StructLayout = STRIDE) -> None:
        self._steps, self._position = steps, position
        loops = len(steps)
        super().__init__(
            {
                "i": In(stream.Signature(loops_layout(loops, position, stride))),
                "o": Out(stream.Signature(data.StructLayout({"position": position, "ends": loops}))),
                "more": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps = self._steps
        loops = Signal.like(self.i.payload)
        running = Signal()
        # start[i]: the position at which loop i's current iteration began
        start = [Signal(self._position, name=f"start{i}") for i in range(len(steps))]
        counts = [Countdown(COUNT_BITS, step=step, name=f"loop{i}") for i, step in enumerate(steps)]
        once = Signal(len(steps))  # the loops of one iteration
        # The loop that goes on behind this position: all faster ones end. None behind the last one. It is found a position ahead, since it
        # chooses what is added to what.
        goes_on = Signal(len(steps))
        ends = self.o.payload.ends
        m.d.comb += [
            ends.eq(Cat(count.ends for count in counts)),
            self.i.ready.eq(~running),
            self.o.valid.eq(running),
            self.o.payload.position.eq(start[0]),
        ]
        with m.If(~running):
            single = Cat(self.i.payload.count[i] <= step for i, step in enumerate(steps))
            m.d.sync += [running.eq(self.i.valid), loops.eq(self.i.payload), once.eq(single), goes_on.eq(_first_zero(single))]
            m.d.sync += [at.eq(self.i.payload.base) for at in start]
            m.d.sync += [count.start(self.i.payload.count[i]) for i, count in enumerate(counts)]
        with m.Elif(self.o.ready):
            m.d.sync += running.eq(self.more | goes_on.any())
            with m.If(~self.more):
                firsts = [_first_zero(Cat(once[:i], count.ends_next, ends[i + 1 :])) for i, count in enumerate(counts)]
                m.d.sync += goes_on.eq(select_one_hot(goes_on, firsts))
                for i, count in enumerate(counts):
                    with m.If(goes_on[i]):
                        m.d.sync += count.advance()
                    with m.If(goes_on[i + 1 :].any()):
                        m.d.sync += count.start(loops.count[i])
            moves = Mux(self.more, 1, goes_on)
            for number, _ in self._position:
                following = [at[number] + loops.stride[i][number] for i, at in enumerate(start)]
                for i, at in enumerate(start):
                    with m.If(moves[i:].any()):
                        m.d.sync += at[number].eq(select_one_hot(moves[i:], following[i:]))
        return m


def _first_zero(bits: Value) -> Value:
    """The lowest bit that is clear, alone."""
    return Cat(~bit & bits[:i].all() for i, bit in enumerate(bits))


def words_layout(word_bytes: int, note: ShapeLike) -> data.StructLayout:
    return data.StructLayout({"word": 8 * word_bytes, "note": note})


class Fetcher(wiring.Component):
    """The word at each address, with a note that goes beside; a word per cycle when the scratchpad grants it.

    repeats: a note has a bit ``again``, with which no word is asked for, and none comes: that of the note before is meant.

    Members
    -------
    i: words; ready comes from registers. words, port: scratchpad port.
    """

    DEPTH = 16  # words asked for, on their way or waiting

    def __init__(self, word_bytes: int, note: ShapeLike, *, repeats: bool = False) -> None:
        self._note, self._repeats = note, repeats
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"asked": ASKED, "note": note}))),
                "words": Out(stream.Signature(words_layout(word_bytes, note))),
                "port": Out(ReadPort(word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arrivals = arrivals = Queue(self.port.word.shape(), depth=self.DEPTH, latency=1)
        m.submodules.notes = notes = Queue(self._note, depth=self.DEPTH, latency=1)  # there before their words
        places = Places(self.DEPTH)
        asks, leaves = Signal(), Signal()
        again, came_again = (of.payload.note.again if self._repeats else Const(0) for of in (self.i, self.words))
        m.d.comb += [
            self.i.ready.eq(places.any & (self.port.address.ready | again)),
            asks.eq(self.i.valid & self.i.ready),
            *(self.port.address.payload.eq(self.i.payload.asked), self.port.address.valid.eq(self.i.valid & places.any & ~again)),
            *(notes.i.payload.eq(self.i.payload.note), notes.i.valid.eq(asks)),
            *(arrivals.i.payload.eq(self.port.word), arrivals.i.valid.eq(self.port.valid)),
            *(self.words.payload.word.eq(arrivals.o.payload), self.words.payload.note.eq(notes.o.payload)),
            self.words.valid.eq(arrivals.o.valid | (notes.o.valid & came_again)),
            leaves.eq(self.words.valid & self.words.ready),
            *(arrivals.o.ready.eq(leaves & ~came_again), notes.o.ready.eq(leaves)),
        ]
        # what leaves comes a long way
        m.d.sync += places.change(taken=asks, given=delay(m, leaves, 1, reset_less=False))
        return m


class Reader(wiring.Component):
    """Reads words along nested loops: ``loops`` in, ``words`` out; a word's note says for each loop whether it ends.

    frees: words that become free with the last one of the loops.
    """

    def __init__(self, word_bytes: int, *, steps: tuple[int, ...]) -> None:
        self._word_bytes, self._steps = word_bytes, steps
        super().__init__(
            {
                "loops": In(stream.Signature(loops_layout(len(steps)))),
                "words": Out(stream.Signature(words_layout(word_bytes, len(steps)))),
                "frees": In(COUNT_BITS),
                "port": Out(ReadPort(word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(self._steps)
        m.submodules.fetcher = fetcher = Fetcher(self._word_bytes, len(self._steps))
        asked, ends = fetcher.i.payload.asked, generator.o.payload.ends
        m.d.comb += [
            *(asked.address.eq(generator.o.payload.position.address), asked.frees.eq(Mux(ends.all(), self.frees, 0))),
            fetcher.i.payload.note.eq(ends),
            fetcher.i.valid.eq(generator.o.valid),
            generator.o.ready.eq(fetcher.i.ready),
        ]
        connect(m, flipped(self.loops), generator.i)
        connect(m, flipped(self.words), fetcher.words)
        connect(m, flipped(self.port), fetcher.port)
        return m


class Writer(wiring.Component):
    """Writes words along nested loops: ``loops`` in, ``words`` in; ``done`` in the cycle in which the last word is written."""

    def __init__(self, word_bytes: int, *, steps: tuple[int, ...]) -> None:
        self._steps = steps
        super().__init__(
            {
                "loops": In(stream.Signature(loops_layout(len(steps)))),
                "words": In(stream.Signature(8 * word_bytes)),
                "port": Out(WritePort(word_bytes)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(self._steps)
        connect(m, flipped(self.loops), generator.i)
        at, write = generator.o, self.port.write
        m.d.comb += [
            *(write.payload.address.eq(at.payload.position.address), write.payload.word.eq(self.words.payload)),
            *(write.payload.mask.eq(~0), write.payload.last.of_step.eq(at.payload.ends.all())),
            write.valid.eq(at.valid & self.words.valid),
            at.ready.eq(write.ready & self.words.valid),
            self.words.ready.eq(write.ready & at.valid),
            self.done.eq(self.port.written.of_step),
        ]
        return m
