"""A small memory of one port behind AXI4, in which another one reads and writes too."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..arch.checks import power_of_two, require
from ..axi import SLAVE, slave_ports
from .slave import OKAY, SLVERR

WORD_BYTES = 4


def access_layout(words: int) -> data.StructLayout:
    """mask: the bytes that are written; none in a read."""
    return data.StructLayout({"place": ceil_log2(words), "word": 8 * WORD_BYTES, "mask": WORD_BYTES})


class Words(wiring.Component):
    """A memory of ``words`` words. A platform with ``get_words`` makes it of the device's largest blocks.

    Members
    -------
    access: what is done in cycles with ``enable``. found: the word that was read, from the next cycle until the next access.
    """

    def __init__(self, words: int) -> None:
        self._words = words
        super().__init__({"access": In(access_layout(words)), "enable": In(1), "found": Out(8 * WORD_BYTES)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        get_words = getattr(platform, "get_words", None)
        if get_words is not None:
            m.submodules.blocks = get_words(self)
            return m
        shape = data.ArrayLayout(8, WORD_BYTES)
        m.submodules.memory = words = memory.Memory(shape=shape, depth=self._words, init=[])
        read, write = words.read_port(), words.write_port(granularity=1)
        m.d.comb += [
            *(read.addr.eq(self.access.place), read.en.eq(self.enable & (self.access.mask == 0))),
            *(write.addr.eq(self.access.place), write.en.eq(Mux(self.enable, self.access.mask, 0))),
            *(write.data.as_value().eq(self.access.word), self.found.eq(read.data)),
        ]
        return m


class OnePortMemory(wiring.Component):
    """An AXI4 slave of 4 bytes with ``size`` bytes from address 0 on; beats beyond are answered with SLVERR. Bursts are INCR and of full
    width, one at a time; between their beats the other one has its turn.

    Members
    -------
    s_axi_*: AXI4. accesses: the other one's. found: the word of a read, in the cycle behind that in which it was taken.

    size: a power of two. Raises ParameterError.
    """

    def __init__(self, size: int, *, id_bits: int = 1) -> None:
        require(power_of_two(size) and size >= 2 * WORD_BYTES, "size", "a power of two, at least 8", size)
        self._words = size // WORD_BYTES
        super().__init__(
            {
                **slave_ports(WORD_BYTES, id_bits=id_bits),
                "accesses": In(stream.Signature(access_layout(self._words))),
                "found": Out(8 * WORD_BYTES),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Words(self._words)

        def port(name: str) -> Signal:
            return getattr(self, SLAVE + name)

        place = Signal(len(port("awaddr")) - 1)  # a bit more than addresses have, so that a burst at their end does not come to the first
        left, outside = Signal(8), Signal()  # left: beats after this one
        number, response = Signal.like(port("awid")), Signal(2)
        m.d.comb += [
            outside.eq(place >= self._words),
            *(port("bid").eq(number), port("bresp").eq(response)),
            *(port("rid").eq(number), port("rlast").eq(left == 0), port("rresp").eq(Mux(outside, SLVERR, OKAY))),
            *(port("rdata").eq(words.found), self.found.eq(words.found)),
            *(words.access.eq(self.accesses.payload), words.enable.eq(self.accesses.valid & self.accesses.ready)),
        ]

        def own_access(mask: Signal | Const) -> None:
            m.d.comb += [words.access.place.eq(place), words.access.word.eq(port("wdata")), words.access.mask.eq(mask)]

        def take(channel: str) -> None:
            m.d.comb += port(f"{channel}ready").eq(1)
            m.d.sync += [place.eq(port(f"{channel}addr")[2:]), left.eq(port(f"{channel}len")), number.eq(port(f"{channel}id"))]

        def step() -> None:
            m.d.sync += [place.eq(place + 1), left.eq(left - 1)]

        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += self.accesses.ready.eq(1)
                m.d.sync += response.eq(OKAY)
                with m.If(port("awvalid")):
                    m.next = "TAKE_WRITE"
                with m.Elif(port("arvalid")):
                    m.next = "TAKE_READ"
            with m.State("TAKE_WRITE"):
                take("aw")
                m.next = "WRITE"
            with m.State("WRITE"):
                own_access(port("wstrb"))
                m.d.comb += [port("wready").eq(1), words.enable.eq(port("wvalid") & ~outside & (port("wstrb") != 0))]
                with m.If(port("wvalid")):
                    step()
                    with m.If(outside):
                        m.d.sync += response.eq(SLVERR)
                    with m.If(left == 0):
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.accesses.ready.eq(1), port("bvalid").eq(1)]
                with m.If(port("bready")):
                    m.next = "IDLE"
            with m.State("TAKE_READ"):
                take("ar")
                m.next = "READ"
            with m.State("READ"):
                own_access(Const(0, WORD_BYTES))
                m.d.comb += words.enable.eq(1)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += port("rvalid").eq(1)
                with m.If(port("rready")):
                    step()
                    m.next = "READ"
                    with m.If(left == 0):
                        m.next = "IDLE"
        return m
