"""Loads the stationary operand of the compute unit, tile by tile, and what its results go through: a table, and the requantization
parameters of the channels. Each tile goes into a shadow register while the array works on the one before.

A tile's lines are loaded some at once, as many as there are ports: the i-th of them by the i-th port. All other words are loaded one by
one by the first port. Words that are asked for together are stored together.
"""

from collections.abc import Callable, Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .access import Fetcher
from .arch.activation import TABLE_ENTRIES
from .arch.formats import FACTOR_BITS
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, CHANNEL, COMPUTE, STRIDE_BITS, Engine
from .engine import command_layout, of_last_two
from .layouts import record_layout
from .mac_array import OPERAND, tile_layout
from .result_table import entries_at_once, entries_layout
from .scratchpad import ReadPort
from .tile_factor import factors_layout
from .tile_walk import TileWalk, Use, run_layout, slots_of_word, table_words

# What of a command is needed when its words arrive, at which time the next command may have been taken.
_CONSTANTS = "b_transposed", "b_narrow", "b_factored", "b_zero_point", "out_zero_point", "low", "high"


def channels_layout(cols: int) -> data.StructLayout:
    """Requantization of a tile's channels, and what all channels of its step have in common."""
    common = {name: record_layout(COMPUTE)[name].shape for name in ("out_zero_point", "low", "high")}
    return data.StructLayout({"records": data.ArrayLayout(record_layout(CHANNEL), cols), **common})


def asked_layout(p: MachineParameters) -> data.StructLayout:
    """Words of a run that are asked for together: the first one's place in it, which of the other ports have one, and whether the run's
    last is among them."""
    run = run_layout(p)
    place = {"line": run["last_line"].shape, "part": run["last_part"].shape, "others": p.b_words - 1, "last": 1}
    return data.StructLayout({**place, "note": run["note"].shape})


def arrival_layout(p: MachineParameters) -> data.StructLayout:
    """Words that were asked for together. elements: of a word of b, less their zero point, zero beyond n and k; of another word the
    bytes. transposed: they follow each other along K, else along N."""
    elements = data.ArrayLayout(data.ArrayLayout(OPERAND, p.word_bytes), p.b_words)
    return data.StructLayout({"elements": elements, "transposed": 1, "words": asked_layout(p)})


class TileLoader(wiring.Component):
    """Members
    -------
    command: the step's command, taken when the words of the one before, but for those of three tiles at most, have been asked for.
    port0, ...: of the scratchpad. older: they are not used by that command, but by the one before it.
    tile: the next one, in the cycle after ``tile_ready`` and until ``tile_taken``; elements beyond n and k are zero.
    factors (of a machine that has them): of that tile.
    channels: while ``channels_full``, until ``channels_taken``. They come after the command's table.
    table, table_valid: entries of it.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                **{f"port{i}": Out(ReadPort(parameters.word_bytes)) for i in range(parameters.b_words)},
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
        fetchers = [Fetcher(self._p.word_bytes, asked_layout(self._p)) for _ in range(self._p.b_words)]
        for i, fetcher in enumerate(fetchers):
            m.submodules[f"fetcher{i}"] = fetcher
            connect(m, fetcher.port, flipped(getattr(self, f"port{i}")))
        words = self._ask(m, walk.runs, [fetcher.i for fetcher in fetchers])
        m.d.comb += self.older.eq(words.note.command != newest)
        self._store(m, about, *self._arrive(m, about, [fetcher.words for fetcher in fetchers]))
        return m

    def _ask(self, m: Module, runs: stream.Interface, ports: Sequence[stream.Interface]) -> data.View:
        """Ask for the words of each run; gives those asked for together."""
        run, words, running = Signal.like(runs.payload), Signal(asked_layout(self._p)), Signal()
        go_on, last_part = Signal(), words.part == run.last_part
        addresses, line_addresses = (
            [Signal(ADDRESS_BITS, name=f"{name}{i}") for i in range(len(ports))] for name in ("address", "line_address")
        )
        further = Signal(STRIDE_BITS + exact_log2(len(ports)))  # from these lines to the next

        def at_once(run: data.View) -> Value:
            return Mux(run.note.use == Use.TILE, len(ports), 1)

        next_line = words.line + at_once(run)
        m.d.comb += [
            go_on.eq(running & Cat(port.ready for port in ports).all()),
            *(port.valid.eq(go_on & there) for port, there in zip(ports, (1, *words.others), strict=True)),
            *(port.payload.asked.address.eq(address) for port, address in zip(ports, addresses, strict=True)),
            *(port.payload.note.eq(words) for port in ports),
            runs.ready.eq(~running | (go_on & words.last)),
            words.others.eq(Cat((run.note.use == Use.TILE) & (words.line + i <= run.last_line) for i in range(1, len(ports)))),
            words.note.eq(run.note),
        ]
        with m.If(runs.ready):
            new = runs.payload
            m.d.sync += [running.eq(runs.valid), run.eq(new), words.line.eq(0), words.part.eq(0), further.eq(new.stride * at_once(new))]
            m.d.sync += words.last.eq((new.last_line < at_once(new)) & (new.last_part == 0))
            for i, (address, line_address) in enumerate(zip(addresses, line_addresses, strict=True)):
                m.d.sync += [at.eq(new.address + i * new.stride) for at in (address, line_address)]
        with m.Elif(go_on & ~last_part):
            m.d.sync += words.last.eq((run.last_line < next_line) & (words.part + 1 == run.last_part))
            m.d.sync += [words.part.eq(words.part + 1), *(address.eq(address + 1) for address in addresses)]
        with m.Elif(go_on):
            m.d.sync += [words.line.eq(next_line), words.part.eq(0)]
            m.d.sync += words.last.eq((run.last_line < next_line + at_once(run)) & (run.last_part == 0))
            for address, line_address in zip(addresses, line_addresses, strict=True):
                m.d.sync += [at.eq(line_address + further) for at in (address, line_address)]
        return words

    def _arrive(
        self, m: Module, about: Callable[[Value], data.View], ports: Sequence[stream.Interface]
    ) -> tuple[data.View, Signal, Signal]:
        """Keep the words that were asked for together, once all are there, until they are ``taken``: gives (words, whether there are any,
        taken). about: the constants of a command."""
        p = self._p
        kept, full, taken = Signal(arrival_layout(p), reset_less=True), Signal(), Signal()
        words = ports[0].payload.note
        its, note = about(words.note.command), words.note
        tile = note.use == Use.TILE
        places = [(i, words.part * p.word_bytes + i % p.cols) for i in range(p.word_bytes)]  # of each byte along K, or along N
        counts = Cat(Mux(its.b_transposed, k < note.k, n < note.n) | ~tile for k, n in places)
        narrow, zero_point = (Mux(tile, its[name], 0) for name in ("b_narrow", "b_zero_point"))
        present = Const(1), *words.others
        there = Cat(port.valid | ~present for port, present in zip(ports, present, strict=True)).all()
        moves = there & (~full | taken)
        m.d.comb += [port.ready.eq(moves & present) for port, present in zip(ports, present, strict=True)]
        m.d.sync += full.eq(there | (full & ~taken))
        with m.If(moves):
            m.d.sync += [kept.transposed.eq(its.b_transposed), kept.words.eq(words)]
            for port, elements in zip(ports, kept.elements, strict=True):
                found = _elements(port.payload.word, note.piece, narrow, p.word_bytes)
                m.d.sync += [
                    at.eq(Mux(counts[i], value - zero_point, 0)) for i, (at, value) in enumerate(zip(elements, found, strict=True))
                ]
        return kept, full, taken

    def _store(self, m: Module, about: Callable[[Value], data.View], arrived: data.View, full: Signal, taken: Signal) -> None:
        """Put what arrives in its place."""
        words, octets = arrived.words, Cat(element[:8] for element in arrived.elements[0])
        room, there = Signal(len(Use)), Signal(len(Use))
        arrives = there & room
        m.d.comb += [taken.eq(full & room.bit_select(words.note.use, 1)), there.eq(Cat(full & (words.note.use == use) for use in Use))]
        tile_taken = self._store_tile(m, there[Use.TILE], arrived)
        table_kept = self._store_table(m, arrives[Use.TABLE], words, octets)
        if self._p.factor_bits:
            self._store_factors(m, about, arrives, words, octets)
        m.d.comb += [
            *(room[use].eq(tile_taken) for use in (Use.TILE, Use.FACTORS)),
            room[Use.TABLE].eq(table_kept),
            room[Use.CHANNELS].eq(self._store_channels(m, about, arrives[Use.CHANNELS], words, octets) & table_kept),
        ]

    def _store_tile(self, m: Module, there: Value, arrived: data.View) -> Value:
        """What no word fills stays zero. there: words are. Gives whether there is room for them."""
        p, words, ports = self._p, arrived.words, list(arrived.elements)
        tile, full = Signal.like(self.tile, reset_less=True), Signal()
        room = ~full | self.tile_taken
        m.d.comb += [self.tile.eq(tile), self.tile_ready.eq(Mux(room, there & words.last, full))]

        def is_there(line: int) -> Value:
            port = line % len(ports)
            there = words.line == line - port
            return there & words.others[port - 1] if port else there

        with m.If(self.tile_taken):
            m.d.sync += full.eq(0)
        with m.If(there & room):
            with m.If(words.last):
                m.d.sync += full.eq(1)
            with m.If((words.line == 0) & (words.part == 0)):
                m.d.sync += tile.eq(0)
            for col in range(p.cols):
                with m.If(arrived.transposed & is_there(col)):
                    m.d.sync += [tile[col][row].eq(ports[col % len(ports)][row]) for row in range(p.rows)]
                part, lane = divmod(col, p.word_bytes)
                slots = [Array(elements[lane + slot * p.cols] for slot in range(slots_of_word(p))) for elements in ports]
                element = [of_slots[words.note.slot] for of_slots in slots]  # of each port
                with m.If(~arrived.transposed & (words.part == part)):
                    for row in range(p.rows):
                        with m.If(is_there(row)):
                            m.d.sync += tile[col][row].eq(element[row % len(ports)])
        return room

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
        return ~full

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
