"""Reads the windows of a feature map in the order in which the compute unit takes them, with no copy of the map.

places of windows -> words that they lie in -> scratchpad -> rows of bytes
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .access import Fetcher
from .adder_tree import add
from .aligner import Aligner, cut_layout, row_layout
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COMPUTE, COUNT_BITS, PLACE_BITS, WAITS, Engine, place_bits
from .engine import EnginePort, newest_of, satisfied
from .layouts import record_layout
from .scratchpad import ReadPort
from .window_walk import ROW_NOTE, WindowWalk


class WindowReader(wiring.Component):
    """Members
    -------
    command: a compute command, taken as soon as the words of the one before have been asked for. Its own words are asked for when what
    its a waits for is there. complete: as the engine's. tiles: that are written of the command before. begins: the first word is asked
    for. older: the port is not used by that command, but by the one before it.
    rows: for each tile of channels, then each tile of k, tap by tap: the bytes of each window. port: scratchpad port.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(COMPUTE))),
                "complete": In(EnginePort(COMPUTE).members["complete"].shape),
                "tiles": In(COUNT_BITS),
                "rows": Out(stream.Signature(row_layout(parameters.rows, ROW_NOTE))),
                "port": Out(ReadPort(parameters.word_bytes)),
                "older": Out(1),
                "begins": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, c = self._p, self.command.payload
        m.submodules.walk = walk = WindowWalk(p)
        kept, taken, fresh = Signal.like(c), Signal(), Signal()  # fresh: no word of the last command has been taken yet
        newest = newest_of(m, taken)
        note = data.StructLayout({"command": 1, "first": 1, "cut": cut_layout(p.rows, ROW_NOTE)})
        m.submodules.fetcher = fetcher = Fetcher(p.word_bytes, note)
        older = fetcher.asking.command != newest
        may_take = ~fresh & ~walk.places.valid & ~(fetcher.port.address.valid & older)
        m.d.comb += [
            walk.command.payload.eq(c),
            walk.command.valid.eq(self.command.valid & may_take),
            self.command.ready.eq(walk.command.ready & may_take),
            taken.eq(self.command.valid & self.command.ready),
            self.older.eq(older),
        ]
        there = Signal()
        address, cut = self._cut(m, walk.places, kept, taken, fetcher.i.ready & there)
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
        asked = fetcher.i.payload
        m.d.comb += [asked.address.eq(address), asked.note.command.eq(newest), asked.note.first.eq(fresh), asked.note.cut.eq(cut)]
        m.d.comb += fetcher.i.valid.eq(walk.places.valid & there)
        with m.If(fetcher.i.valid & fetcher.i.ready):
            m.d.sync += fresh.eq(0)
        with m.If(taken):
            m.d.sync += [kept.eq(c), fresh.eq(1), tile.eq(-c.a_ahead)]

        m.submodules.aligner = aligner = Aligner(p.rows, ROW_NOTE, any_byte=p.reads_any_byte)
        words = fetcher.words
        m.d.comb += [
            self.begins.eq(fetcher.port.address.valid & fetcher.port.address.ready & fetcher.asking.first),
            *(aligner.i.payload.word.eq(words.payload.word), aligner.i.payload.note.eq(words.payload.note.cut)),
            *(aligner.i.valid.eq(words.valid), words.ready.eq(aligner.i.ready)),
        ]
        connect(m, flipped(self.rows), aligner.o)
        connect(m, flipped(self.port), fetcher.port)
        return m

    def _cut(self, m: Module, places: stream.Interface, c: data.View, taken: Value, moves: Value) -> tuple[Value, data.View]:
        """Address and use of the word to ask for: the one in which a row of bytes ends, but the one before it first unless the aligner
        has that. taken: a command is. moves: the word is."""
        rows, bits = self._p.rows, place_bits(self._p.rows)
        position = places.payload.position
        new_line, primed = Signal(), Signal()
        note = Signal(cut_layout(rows, ROW_NOTE))
        start, word = position.x[:bits], position.x[bits:].as_signed()
        straddles = start.any() if self._p.reads_any_byte else Const(0, 1)
        last_word, before_last, end_word = (Signal.like(word, name=name) for name in ("last_word", "before_last", "end_word"))
        end_is_last = word == Mux(straddles, before_last, last_word)  # compared without the sum, which would take more time
        m.d.comb += [
            end_word.eq(word + straddles),
            note.start.eq(start if self._p.reads_any_byte else 0),
            note.advance.eq(primed | (word == last_word)),
            note.prime.eq(straddles & (new_line | ((word != last_word) & ~end_is_last)) & ~primed),
        ]
        beyond = position.y.as_unsigned() >= c.height  # as unsigned numbers, negative ones are beyond any size
        within = Signal(signed(PLACE_BITS + 1))  # places from the row's first to the end of the line
        m.d.comb += [
            within.eq(c.width - position.x),
            note.first.eq(Mux(word < 0, Mux((word == -1) & straddles, rows - start, rows), 0)),
            note.end.eq(Mux(beyond | (within <= 0), 0, Mux(within < rows, within, rows))),
            note.note.eq(places.payload.note),
            places.ready.eq(moves & ~note.prime),
        ]
        with m.If(places.valid & moves):
            m.d.sync += primed.eq(note.prime)
        with m.If(places.valid & places.ready):
            m.d.sync += [last_word.eq(end_word), before_last.eq(end_word - 1), new_line.eq(places.payload.ends_line)]
        with m.If(taken):
            m.d.sync += new_line.eq(1)

        before, asked = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        low = exact_log2(self._p.interleaved)

        def address(further: Value) -> Value:
            """Of the word, or of the one that is further. Outside of the map there is none: a word in the bank that it would have, so that
            the reader does not wait for another one in between."""
            outside = beyond | (Cat(Const(0, bits), (word + further)[: len(word)]).as_unsigned() >= c.width)
            inside = add(position.line, word, further)[:ADDRESS_BITS]
            return Mux(outside, Cat(inside[:low], before[low:]), inside)

        m.d.comb += asked.eq(Mux(note.prime, address(Const(0, 1)), address(straddles)))
        with m.If(places.valid & moves):
            m.d.sync += before.eq(asked)
        return asked, note
