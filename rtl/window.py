"""Reads the windows of a feature map in the order in which the compute unit takes them, with no copy of the map.

places of windows -> words that they lie in -> scratchpad -> rows of bytes
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .access import Fetcher
from .aligner import Aligner, cut_layout, row_layout
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS, PLACE_BITS, WAITS, Engine, place_bits
from .engine import command_layout, complete_layout, satisfied
from .scratchpad import ASKED, ReadPort
from .window_walk import ROW_NOTE, WindowWalk


class WindowReader(wiring.Component):
    """Members
    -------
    command: a compute command, taken as soon as the words of the one before have been asked for. Its own words are asked for when what
    its a waits for is there. complete: as the engine's. tiles: that are written of the command before. begins: the first word is asked
    for.
    rows: for each tile of channels, then each tile of k, tap by tap: the bytes of each window. port: scratchpad port.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                "complete": In(complete_layout(parameters)),
                "tiles": In(COUNT_BITS),
                "rows": Out(stream.Signature(row_layout(parameters.rows, ROW_NOTE))),
                "port": Out(ReadPort(parameters.word_bytes)),
                "begins": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, c = self._p, self.command.payload
        m.submodules.walk = walk = WindowWalk(p)
        kept, taken, fresh = Signal.like(c), Signal(), Signal()  # fresh: no word of the last command has been taken yet
        m.submodules.fetcher = fetcher = Fetcher(p.word_bytes, cut_layout(p.rows, ROW_NOTE), repeats=p.reads_any_byte)
        may_take = ~fresh & ~walk.places.valid
        m.d.comb += [
            walk.command.payload.eq(c),
            walk.command.valid.eq(self.command.valid & may_take),
            self.command.ready.eq(walk.command.ready & may_take),
            taken.eq(self.command.valid & self.command.ready),
        ]
        there, asks = Signal(), Signal()
        word = self._cut(m, walk.places, kept, fetcher.i.ready & there)
        complete = satisfied(self.complete, (kept[f"a_{wait}"] for wait in WAITS))
        tile = Signal(signed(COUNT_BITS + 1))  # along K, the words of which are to be asked for, less a_ahead
        # Whether all is there, or at least the tile: as it was a cycle ago, since nothing goes away but with the next tile or command.
        all_there, tile_there, next_tile = Signal(), Signal(), Signal()
        written = kept.a_follows & (complete | 1 << Engine.COMPUTE).all() & (self.tiles > tile)
        m.d.comb += [
            there.eq(all_there | tile_there | (~fresh & ~kept.a_follows)),
            next_tile.eq(walk.places.valid & walk.places.ready & walk.places.payload.note.last_row),
        ]
        m.d.sync += [all_there.eq(complete.all() & ~taken), tile_there.eq(written & ~next_tile & ~taken)]
        with m.If(next_tile):
            m.d.sync += tile.eq(tile + 1)
        m.d.comb += [
            *(fetcher.i.payload.eq(word), fetcher.i.valid.eq(walk.places.valid & there)),
            asks.eq(fetcher.i.valid & fetcher.i.ready),
            self.begins.eq(asks & fresh),
        ]
        with m.If(asks):
            m.d.sync += fresh.eq(0)
        with m.If(taken):
            m.d.sync += [kept.eq(c), fresh.eq(1), tile.eq(-c.a_ahead)]

        m.submodules.aligner = aligner = Aligner(p.rows, ROW_NOTE, any_byte=p.reads_any_byte)
        words = fetcher.words
        m.d.comb += [
            *(aligner.i.payload.word.eq(words.payload.word), aligner.i.payload.note.eq(words.payload.note)),
            *(aligner.i.valid.eq(words.valid), words.ready.eq(aligner.i.ready)),
        ]
        connect(m, flipped(self.rows), aligner.o)
        connect(m, flipped(self.port), fetcher.port)
        return m

    def _cut(self, m: Module, places: stream.Interface, c: data.View, moves: Value) -> data.View:
        """The word to ask for, and its use: the one in which a row of bytes ends, but the one before it first unless the aligner has that;
        and none where the row before ended in the same one. moves: the word is asked for."""
        rows, bits, place = self._p.rows, place_bits(self._p.rows), places.payload
        primed = Signal()
        wanted = Signal(data.StructLayout({"asked": ASKED, "note": cut_layout(rows, ROW_NOTE)}))
        asked, note = wanted.asked, wanted.note
        start, word = place.x[:bits], place.x[bits:].as_signed()
        within = Signal(signed(PLACE_BITS + 1))  # places from the row's first to the end of the line
        m.d.comb += [
            within.eq(c.width - place.x),
            note.start.eq(start if self._p.reads_any_byte else 0),
            note.advance.eq(primed | place.follows),
            note.prime.eq(place.primes & ~primed),
            note.again.eq(place.again),
            note.first.eq(Mux(word < 0, Mux((word == -1) & place.straddles, rows - start, rows), 0)),
            note.end.eq(Mux(place.beyond | (within <= 0), 0, Mux(within < rows, within, rows))),
            note.note.eq(place.note),
            places.ready.eq(moves & ~note.prime),
        ]

        before = Signal(ADDRESS_BITS)
        low = exact_log2(self._p.interleaved)
        # Outside of the map there is no word: one in the bank that it would have is asked for, so that the reader does not wait for
        # another one in between.
        address = (place.address + (place.straddles & ~note.prime))[:ADDRESS_BITS]
        m.d.comb += [
            asked.absent.eq(Mux(note.prime, place.starts_outside, place.ends_outside)),
            asked.address.eq(Cat(address[:low], Mux(asked.absent, before[low:], address[low:]))),
            asked.frees.eq(Mux(place.note.last & ~note.prime, c.a_frees, 0)),
        ]
        with m.If(places.valid & moves):
            m.d.sync += [primed.eq(note.prime), before.eq(asked.address)]
        return wanted
