"""Words from an SDRAM chip to beats."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.sdram import Sdram
from ..delay import delay
from ..places import Places
from ..streams import Queue
from .sdram_layouts import asked_layout
from .slave import OKAY, SLVERR, answer_layout

PLACES = 16  # beats that are on their way or wait: more than the latency needs, and as many as a block of distributed memory has


class WordReader(wiring.Component):
    """Members
    -------
    asked: a word that the chip was asked for. word: on the data bus, of what was asked for ``latency`` cycles ago. begins: a beat is begun,
    which needs ``room``. answers: the beats.
    """

    def __init__(self, chip: Sdram, bus_bytes: int, *, id_bits: int, latency: int) -> None:
        self._chip, self._latency = chip, latency
        self._bus_bytes, self._asked, self._answer = bus_bytes, asked_layout(id_bits), answer_layout(bus_bytes, id_bits)
        super().__init__(
            {
                **{"asked": In(self._asked), "word": In(chip.data_bits), "begins": In(1), "room": Out(1)},
                "answers": Out(stream.Signature(self._answer)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self._answer, depth=PLACES)
        places, beat, answer = Places(PLACES), Signal(8 * self._bus_bytes), queue.i.payload
        word = delay(m, self.asked, self._latency, reset_less=False)
        whole = delay(m, word, 1, reset_less=False)
        with m.If(word.valid):
            m.d.sync += beat.eq(Cat(beat[self._chip.data_bits :], self.word))
        m.d.sync += places.change(taken=self.begins, given=self.answers.valid & self.answers.ready)
        m.d.comb += [
            self.room.eq(places.any),
            *(queue.i.valid.eq(whole.valid & whole.ends), answer.data.eq(beat), answer.resp.eq(Mux(whole.outside, SLVERR, OKAY))),
            *(answer.last.eq(whole.last), answer.id.eq(whole.id)),
        ]
        wiring.connect(m, queue.o, wiring.flipped(self.answers))
        return m
