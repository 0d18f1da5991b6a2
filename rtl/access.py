"""Address generation: nested loops over the scratchpad, and the reader and writer that walk them with a stream of words."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS
from .delay import delay
from .scratchpad import READ_LATENCY, ReadPort, WritePort
from .streams import Queue


def loops_layout(loops: int) -> data.StructLayout:
    """Where the loops start, and count and stride of each, innermost first. Counts are at least 1; strides in words."""
    return data.StructLayout(
        {
            "base": ADDRESS_BITS,
            "count": data.ArrayLayout(COUNT_BITS, loops),
            "stride": data.ArrayLayout(STRIDE_BITS, loops),
        }
    )


def words_layout(word_bytes: int, loops: int) -> data.StructLayout:
    """A word, and for each loop whether it is of its last iteration."""
    return data.StructLayout({"word": 8 * word_bytes, "ends": loops})


class AddressGenerator(wiring.Component):
    """The addresses ``base + sum(index[i] * stride[i])``, one per cycle, loop 0 fastest, index[i] in 0..ceil(count[i] / steps[i]) - 1.

    ``ends``: for each loop whether this is its last iteration. The next loops are taken when the last address is out.
    """

    def __init__(self, steps: tuple[int, ...]) -> None:
        self._steps = steps
        loops = len(steps)
        super().__init__(
            {
                "i": In(stream.Signature(loops_layout(loops))),
                "o": Out(stream.Signature(data.StructLayout({"address": ADDRESS_BITS, "ends": loops}))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps = self._steps
        loops = Signal(loops_layout(len(steps)))
        running = Signal()
        # start[i]: the address at which loop i's current iteration began
        start = [Signal(ADDRESS_BITS, name=f"start{i}") for i in range(len(steps))]
        left = [Signal(COUNT_BITS, name=f"left{i}") for i in range(len(steps))]
        ends = self.o.payload.ends
        m.d.comb += [
            ends.eq(Cat(left[i] <= step for i, step in enumerate(steps))),
            self.i.ready.eq(~running),
            self.o.valid.eq(running),
            self.o.payload.address.eq(start[0]),
        ]
        with m.If(~running):
            m.d.sync += [running.eq(self.i.valid), loops.eq(self.i.payload)]
            m.d.sync += [at.eq(self.i.payload.base) for at in start]
            m.d.sync += [n.eq(self.i.payload.count[i]) for i, n in enumerate(left)]
        with m.Elif(self.o.ready):
            m.d.sync += running.eq(~ends.all())
            done = 1
            for i, step in enumerate(steps):
                # loop i advances when all faster loops end
                with m.If(done & ~ends[i]):
                    following = (start[i] + loops.stride[i])[:ADDRESS_BITS]
                    m.d.sync += left[i].eq(left[i] - step)
                    m.d.sync += [start[j].eq(following) for j in range(i + 1)]
                    m.d.sync += [left[j].eq(loops.count[j]) for j in range(i)]
                done &= ends[i]
        return m


class Reader(wiring.Component):
    """Reads words along nested loops: ``loops`` in, ``words`` out with their ``ends``, a word per cycle when the scratchpad grants it."""

    DEPTH = 8  # words on their way or waiting: covers the scratchpad's latency and the queue's

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
        m.submodules.queue = queue = Queue(self.words.payload.shape(), depth=self.DEPTH)
        places = Signal(range(self.DEPTH + 1), init=self.DEPTH)
        taken = self.port.address.valid & self.port.address.ready
        m.d.comb += [
            self.port.address.payload.eq(generator.o.payload.address),
            self.port.address.valid.eq(generator.o.valid & (places != 0)),
            generator.o.ready.eq(self.port.address.ready & (places != 0)),
            queue.i.payload.word.eq(self.port.word),
            queue.i.payload.ends.eq(delay(m, generator.o.payload.ends, READ_LATENCY)),
            queue.i.valid.eq(self.port.valid),
        ]
        m.d.sync += places.eq(places - taken + (self.words.valid & self.words.ready))
        connect(m, flipped(self.loops), generator.i)
        connect(m, flipped(self.words), queue.o)
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
        write = self.port.write
        m.d.comb += [
            write.payload.address.eq(generator.o.payload.address),
            write.payload.word.eq(self.words.payload),
            write.payload.mask.eq(~0),
            write.valid.eq(generator.o.valid & self.words.valid),
            generator.o.ready.eq(write.ready & self.words.valid),
            self.words.ready.eq(write.ready & generator.o.valid),
            self.done.eq(write.valid & write.ready & generator.o.payload.ends.all()),
        ]
        return m
