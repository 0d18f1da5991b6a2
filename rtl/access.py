"""Address generation: nested loops over the scratchpad, and the reader and writer that walk them with a stream of words."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS
from .countdown import Countdown
from .delay import delay
from .places import Places
from .scratchpad import READ_LATENCY, ReadPort, WritePort
from .select import select_one_hot
from .skid import Skid
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

    Members
    -------
    i: addresses; ready comes from registers, so that no long way leads from the scratchpad to where they are made.
    asking: the note of the word that waits for the scratchpad. words, port: scratchpad port.
    """

    DEPTH = 16  # words asked for, on their way or waiting

    def __init__(self, word_bytes: int, note: ShapeLike) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"address": ADDRESS_BITS, "note": note}))),
                "asking": Out(note),
                "words": Out(stream.Signature(words_layout(word_bytes, note))),
                "port": Out(ReadPort(word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.asks = asks = Skid(self.i.payload.shape())
        m.submodules.queue = queue = Queue(self.words.payload.shape(), depth=self.DEPTH)
        places = Places(self.DEPTH)
        m.d.comb += [
            asks.i.payload.eq(self.i.payload),
            asks.i.valid.eq(self.i.valid & places.any),
            self.i.ready.eq(asks.i.ready & places.any),
            self.port.address.payload.eq(asks.o.payload.address),
            self.port.address.valid.eq(asks.o.valid),
            asks.o.ready.eq(self.port.address.ready),
            self.asking.eq(asks.o.payload.note),
            queue.i.payload.word.eq(self.port.word),
            queue.i.payload.note.eq(delay(m, asks.o.payload.note, READ_LATENCY)),
            queue.i.valid.eq(self.port.valid),
        ]
        given = delay(m, self.words.valid & self.words.ready, 1, reset_less=False)  # comes a long way
        m.d.sync += places.change(taken=self.i.valid & self.i.ready, given=given)
        connect(m, flipped(self.words), queue.o)
        return m


class Reader(wiring.Component):
    """Reads words along nested loops: ``loops`` in, ``words`` out; a word's note says for each loop whether it ends."""

    def __init__(self, word_bytes: int, *, steps: tuple[int, ...]) -> None:
        self._word_bytes, self._steps = word_bytes, steps
        super().__init__(
            {
                "loops": In(stream.Signature(loops_layout(len(steps)))),
                "words": Out(stream.Signature(words_layout(word_bytes, len(steps)))),
                "port": Out(ReadPort(word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(self._steps)
        m.submodules.fetcher = fetcher = Fetcher(self._word_bytes, len(self._steps))
        m.d.comb += [
            fetcher.i.payload.address.eq(generator.o.payload.position.address),
            fetcher.i.payload.note.eq(generator.o.payload.ends),
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
        layout = data.StructLayout({"write": self.port.write.payload.shape(), "last": 1})
        m.submodules.skid = skid = Skid(layout)  # as in a fetcher
        word, write = skid.i.payload, self.port.write
        m.d.comb += [
            word.write.address.eq(generator.o.payload.position.address),
            word.write.word.eq(self.words.payload),
            word.write.mask.eq(~0),
            word.last.eq(generator.o.payload.ends.all()),
            skid.i.valid.eq(generator.o.valid & self.words.valid),
            generator.o.ready.eq(skid.i.ready & self.words.valid),
            self.words.ready.eq(skid.i.ready & generator.o.valid),
            *(write.payload.eq(skid.o.payload.write), write.valid.eq(skid.o.valid), skid.o.ready.eq(write.ready)),
            self.done.eq(write.valid & write.ready & skid.o.payload.last),
        ]
        return m
