"""Loads the stationary operand of the compute unit, tile by tile, and what its results go through: a table, and the requantization
parameters of the channels. Each tile goes into a shadow register while the array works on the one before.
"""

from collections.abc import Callable

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.activation import TABLE_ENTRIES
from .arch.formats import FACTOR_BITS
from .arch.parameters import MachineParameters
from .arch.steps import CHANNEL, COMPUTE
from .delay import delay
from .engine import of_last_two
from .layouts import record_layout
from .mac_array import OPERAND, tile_layout
from .places import Places
from .result_table import entries_at_once, entries_layout
from .scratchpad import READ_LATENCY, ReadPort
from .streams import Queue
from .tile_factor import factors_layout
from .tile_walk import TileWalk, Use, run_layout, slots_of_word, table_words

ARRIVALS = 8  # words on their way or waiting: covers the scratchpad's latency and the queue's
# What of a command is needed when its words arrive, at which time the next command may have been taken.
_CONSTANTS = "b_transposed", "b_narrow", "b_factored", "b_zero_point", "out_zero_point", "low", "high"


def channels_layout(cols: int) -> data.StructLayout:
    """Requantization of a tile's channels, and what all channels of its step have in common."""
    common = {name: record_layout(COMPUTE)[name].shape for name in ("out_zero_point", "low", "high")}
    return data.StructLayout({"records": data.ArrayLayout(record_layout(CHANNEL), cols), **common})


def word_layout(p: MachineParameters) -> data.StructLayout:
    """A word of a run: its place in it, and whether it is the run's last."""
    run = run_layout(p)
    place = {"line": run["last_line"].shape, "part": run["last_part"].shape, "last": 1}
    return data.StructLayout({**place, "note": run["note"].shape})


def arrival_layout(p: MachineParameters) -> data.StructLayout:
    """Elements of b less their zero point, zero beyond n and k; of other words the bytes. transposed: elements follow each other along K,
    else along N."""
    return data.StructLayout({"elements": data.ArrayLayout(OPERAND, p.word_bytes), "transposed": 1, "word": word_layout(p)})


class TileLoader(wiring.Component):
    """Members
    -------
    command: the step's command, taken when the words of the one before, but for those of three tiles at most, have been asked for.
    older: the port is not used by that command, but by the one before it.
    tile: the next one, in the cycle after ``tile_ready`` and until ``tile_taken``; elements beyond n and k are zero.
    factors (of a machine that has them): of that tile.
    channels: while ``channels_full``, until ``channels_taken``. They come after the command's table.
    table, table_valid: entries of it.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(COMPUTE))),
                "port": Out(ReadPort(parameters.word_bytes)),
                "older": Out(1),
                "tile": Out(tile_layout(parameters)),
                "tile_ready": Out(1),
                "tile_taken": In(1),
                **({"factors": Out(factors_layout(parameters.cols))} if parameters.factor_bits else {}),
                "channels": Out(channels_layout(parameters.cols)),
                "channels_full": Out(1),
                "channels_taken": In(1),
                "table": Out(entries_layout(parameters)),
                "table_valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = TileWalk(self._p)
        newest, about = of_last_two(m, self.command.valid & self.command.ready, self.command.payload, _CONSTANTS)
        m.d.comb += [
            walk.command.payload.eq(self.command.payload),
            walk.command.valid.eq(self.command.valid),
            self.command.ready.eq(walk.command.ready),
            walk.name.eq(newest),
        ]
        m.submodules.arrivals = arrivals = Queue(arrival_layout(self._p), depth=ARRIVALS)
        word = self._ask(m, walk.runs, arrivals.o.valid & arrivals.o.ready)
        m.d.comb += self.older.eq(word.note.command != newest)
        self._arrive(m, about, word, arrivals.i)
        self._store(m, about, arrivals.o)
        return m

    def _ask(self, m: Module, runs: stream.Interface, leaves: Value) -> data.View:
        """Ask for the words of each run, while there are places for them; gives the word asked for. leaves: one leaves its place."""
        address = self.port.address
        places, asking, run = Places(ARRIVALS), Signal(), Signal.like(runs.payload)
        word = Signal(word_layout(self._p))
        line_address = Signal.like(address.payload)
        taken, last_part = address.valid & address.ready, word.part == run.last_part
        m.d.comb += [
            address.valid.eq(asking & places.any),
            runs.ready.eq(~asking | (taken & word.last)),
            word.last.eq((word.line == run.last_line) & last_part),
            word.note.eq(run.note),
        ]
        m.d.sync += places.change(taken=taken, given=leaves)
        with m.If(runs.ready):
            start = runs.payload.address
            m.d.sync += [asking.eq(runs.valid), run.eq(runs.payload), address.payload.eq(start), line_address.eq(start)]
            m.d.sync += [word.line.eq(0), word.part.eq(0)]
        with m.Elif(taken & ~last_part):
            m.d.sync += [address.payload.eq(address.payload + 1), word.part.eq(word.part + 1)]
        with m.Elif(taken):
            following = line_address + run.stride
            m.d.sync += [address.payload.eq(following), line_address.eq(following), word.line.eq(word.line + 1), word.part.eq(0)]
        return word

    def _arrive(self, m: Module, about: Callable[[Value], data.View], word: data.View, arrivals: stream.Interface) -> None:
        """Queue the elements of each word as it comes, those of a tile less the zero point. about: the constants of a command."""
        p = self._p
        word = delay(m, word, READ_LATENCY - 1)
        its, note = about(word.note.command), word.note
        tile = note.use == Use.TILE
        places = [(i, word.part * p.word_bytes + i % p.cols) for i in range(p.word_bytes)]  # of each byte along K, or along N
        counts = Cat(Mux(its.b_transposed, k < note.k, n < note.n) | ~tile for k, n in places)
        narrow, zero_point = (Mux(tile, its[name], 0) for name in ("b_narrow", "b_zero_point"))
        known = word, its.b_transposed, counts, narrow, zero_point
        word, transposed, counts, narrow, zero_point = (delay(m, value, 1) for value in known)
        elements = _elements(self.port.word, word.note.piece, narrow, p.word_bytes)
        m.d.comb += [
            arrivals.valid.eq(self.port.valid),
            arrivals.payload.word.eq(word),
            arrivals.payload.transposed.eq(transposed),
            *(arrivals.payload.elements[i].eq(Mux(counts[i], element - zero_point, 0)) for i, element in enumerate(elements)),
        ]

    def _store(self, m: Module, about: Callable[[Value], data.View], arrival: stream.Interface) -> None:
        """Put what arrives in its place."""
        word, octets = arrival.payload.word, Cat(element[:8] for element in arrival.payload.elements)
        room, arrives = Signal(len(Use)), Signal(len(Use))
        m.d.comb += [
            arrival.ready.eq(room.bit_select(word.note.use, 1)),
            arrives.eq(Cat(arrival.valid & (word.note.use == use) & room[use] for use in Use)),
        ]
        tile_taken = self._store_tile(m, arrives[Use.TILE], arrival.payload)
        table_kept = self._store_table(m, arrives[Use.TABLE], word, octets)
        if self._p.factor_bits:
            self._store_factors(m, about, arrives, word, octets)
        m.d.comb += [
            *(room[use].eq(tile_taken) for use in (Use.TILE, Use.FACTORS)),
            room[Use.TABLE].eq(table_kept),
            room[Use.CHANNELS].eq(self._store_channels(m, about, arrives[Use.CHANNELS], word, octets) & table_kept),
        ]

    def _store_tile(self, m: Module, arrives: Value, arrival: data.View) -> Value:
        """What no word fills stays zero. Gives whether there is room for a word."""
        p, word, elements = self._p, arrival.word, arrival.elements
        tile, full = Signal.like(self.tile, reset_less=True), Signal()
        m.d.comb += [self.tile.eq(tile), self.tile_ready.eq(full | (arrives & word.last))]
        with m.If(self.tile_taken):
            m.d.sync += full.eq(0)
        with m.If(arrives):
            with m.If(word.last):
                m.d.sync += full.eq(1)
            with m.If((word.line == 0) & (word.part == 0)):
                m.d.sync += tile.eq(0)
            for col in range(p.cols):
                with m.If(arrival.transposed & (word.line == col)):
                    m.d.sync += [tile[col][row].eq(elements[row]) for row in range(p.rows)]
                part, lane = divmod(col, p.word_bytes)
                element = Array(elements[lane + slot * p.cols] for slot in range(slots_of_word(p)))[word.note.slot]
                with m.If(~arrival.transposed & (word.part == part)):
                    for row in range(p.rows):
                        with m.If(word.line == row):
                            m.d.sync += tile[col][row].eq(element)
        return ~full | self.tile_taken

    def _store_factors(self, m: Module, about: Callable[[Value], data.View], arrives: Value, word: data.View, octets: Value) -> None:
        """In the place of the tile before, or 1 with each word of a tile of a command without factors."""
        words = Signal(self._p.factor_words * len(octets), reset_less=True)
        m.d.comb += self.factors.as_value().eq(words)
        with m.If(arrives[Use.FACTORS]):
            m.d.sync += words.word_select(word.line, len(octets)).eq(octets)
        with m.If(arrives[Use.TILE] & ~about(word.note.command).b_factored):
            m.d.sync += words.eq(Cat(Const(1, FACTOR_BITS) for _ in range(len(words) // FACTOR_BITS)))

    def _store_channels(self, m: Module, about: Callable[[Value], data.View], arrives: Value, word: data.View, octets: Value) -> Value:
        """Gives whether there is room for a word."""
        words, command = Signal(self._p.channel_words * len(octets), reset_less=True), Signal()
        full, common = self.channels_full, about(command)
        m.d.comb += [
            self.channels.records.as_value().eq(words),
            *(self.channels[name].eq(common[name]) for name in ("out_zero_point", "low", "high")),
        ]
        with m.If(self.channels_taken):
            m.d.sync += full.eq(0)
        with m.If(arrives):
            m.d.sync += words.word_select(word.line, len(octets)).eq(octets)
            with m.If(word.last):
                m.d.sync += [full.eq(1), command.eq(word.note.command)]
        return ~full | self.channels_taken

    def _store_table(self, m: Module, arrives: Value, word: data.View, octets: Value) -> Value:
        """Hand on a word's entries, some at once. Gives whether there is room for a word, since no more than the last ones are left."""
        at_once = entries_at_once(self._p)
        parts = self._p.word_bytes // at_once
        entries, parts_left = Signal.like(octets, reset_less=True), Signal(range(parts + 1))
        index, command = Signal(range(table_words(self._p) * parts + 1)), Signal()
        m.d.comb += [
            self.table.entries.eq(entries[: 8 * at_once]),
            self.table.index.eq(index),
            self.table.command.eq(command),
            self.table_valid.eq((parts_left != 0) & (index < TABLE_ENTRIES // at_once)),
        ]
        with m.If(parts_left != 0):
            m.d.sync += [entries.eq(entries >> (8 * at_once)), parts_left.eq(parts_left - 1), index.eq(index + 1)]
        with m.If(arrives):
            m.d.sync += [entries.eq(octets), parts_left.eq(parts), command.eq(word.note.command)]
            with m.If(word.line == 0):
                m.d.sync += index.eq(0)
        return ~parts_left[1:].any()


def _elements(word: Value, piece: Value, narrow: Value, count: int) -> list[Value]:
    """``count`` signed elements of 8, 4 or 2 bits, by ``narrow``: the ``piece``-th ones of the word."""
    octets = [word.word_select(i, 8).as_signed() for i in range(count)]
    for index, bits in ((1, 4), (2, 2)):
        part = word.word_select(piece[:index], bits * count)
        octets = [Mux(narrow == index, part.word_select(i, bits).as_signed(), octet) for i, octet in enumerate(octets)]
    return octets
