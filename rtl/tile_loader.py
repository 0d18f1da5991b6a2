"""Loads the stationary operand of the compute unit, tile by tile, and the requantization parameters of its channels.

Tiles come in the order n, then k. Each goes into a shadow register while the array works on the one before; the channels of
a tile row (same n) come after its first tile.
"""

from collections.abc import Callable
from itertools import pairwise

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, CHANNEL, COMPUTE, COUNT_BITS, TAP_BITS
from .engine import of_last_two
from .layouts import record_layout
from .mac_array import tile_layout
from .scratchpad import READ_LATENCY, ReadPort
from .streams import Queue

ARRIVALS = 8  # words on their way or waiting: covers the scratchpad's latency and the queue's
# What of a command is needed when its words arrive, at which time the next command may have been taken.
_CONSTANTS = "b_transposed", "b_narrow", "b_zero_point", "out_zero_point", "low", "high"
MOST_PIECES = 4  # tiles in a word of b, of elements of 2 bits


def channels_layout(cols: int) -> data.StructLayout:
    """Requantization of a tile's channels, and what all channels of its step have in common."""
    common = {name: record_layout(COMPUTE)[name].shape for name in ("out_zero_point", "low", "high")}
    return data.StructLayout({"records": data.ArrayLayout(record_layout(CHANNEL), cols), **common})


class TileLoader(wiring.Component):
    """Members
    -------
    command: the step's command, taken as soon as the words of the one before have been asked for.
    tile: the next one, in the cycle after ``tile_ready`` and until ``tile_taken``; elements beyond n and k are zero.
    channels: while ``channels_full``, until ``channels_taken``.
    """

    def __init__(self, parameters: MachineParameters, command: data.StructLayout) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command)),
                "port": Out(ReadPort(parameters.word_bytes)),
                "tile": Out(tile_layout(parameters)),
                "tile_ready": Out(1),
                "tile_taken": In(1),
                "channels": Out(channels_layout(parameters.cols)),
                "channels_full": Out(1),
                "channels_taken": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        c = Signal.like(self.command.payload)
        places = Signal(range(ARRIVALS + 1), init=ARRIVALS)
        newest, about = of_last_two(m, self.command.valid & self.command.ready, self.command.payload, _CONSTANTS)
        tag, taken = self._request(m, c, places != 0, newest)

        # Each word arrives with the tag of its request, and waits until its place is free.
        arrival = data.StructLayout({"word": 8 * p.word_bytes, "tag": tag.shape()})
        m.submodules.arrivals = arrivals = Queue(arrival, depth=ARRIVALS)
        tags = [tag, *(Signal(tag.shape(), name=f"tag{i}") for i in range(READ_LATENCY))]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise(tags)]
        m.d.sync += places.eq(places - taken + (arrivals.o.valid & arrivals.o.ready))
        m.d.comb += [
            arrivals.i.payload.word.eq(self.port.word),
            arrivals.i.payload.tag.eq(tags[-1]),
            arrivals.i.valid.eq(self.port.valid),
        ]
        self._store(m, about, arrivals.o)
        return m

    def _request(self, m: Module, c: data.View, room: Value, newest: Value) -> tuple[data.View, Value]:
        """Ask for the words of all channels and tiles in order; gives the tag of the word asked for, and when it is."""
        p = self._p
        rows, cols, word = p.rows, p.cols, p.word_bytes
        wide_words, slots = max(1, cols // word), max(1, word // cols)  # words of a line of b [k, n], or tiles that share one
        n_left, k_left = Signal(COUNT_BITS), Signal(COUNT_BITS)  # from the tile's first channel and first k of its tap
        taps_x_left, taps_y_left = Signal(TAP_BITS), Signal(TAP_BITS)
        n_base = Signal(ADDRESS_BITS)  # transposed: row of the tile's first channel; else column word of that channel
        k_base = Signal(ADDRESS_BITS)  # transposed: word of the tile's first k in each row; else row of that k
        channels_base, line_base = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        line, part = Signal(range(max(rows, cols, p.channel_words))), Signal(range(wide_words))
        tag = Signal(
            data.StructLayout(
                {
                    **{"channels": 1, "line": line.shape(), "part": part.shape(), "slot": range(slots), "last": 1},
                    **{"piece": range(MOST_PIECES), "n": range(cols + 1), "k": range(rows + 1), "command": 1},
                }
            )
        )
        slot, piece = Signal(range(slots)), Signal(range(MOST_PIECES))
        asking, channels, first_tile = Signal(), Signal(), Signal()
        last_line = line == Mux(channels, p.channel_words, Mux(c.b_transposed, tag.n, tag.k)) - 1
        last_part = channels | c.b_transposed | (part == wide_words - 1) | (n_left <= (part + 1) * word)
        taken = self.port.address.valid & self.port.address.ready
        m.d.comb += [
            self.port.address.payload.eq(line_base + part),
            self.port.address.valid.eq(asking & room),
            tag.channels.eq(channels),
            tag.line.eq(line),
            tag.part.eq(part),
            tag.slot.eq(slot),
            tag.piece.eq(piece),
            tag.last.eq(last_line & last_part),
            tag.n.eq(Mux(n_left < cols, n_left, cols)),
            tag.k.eq(Mux(k_left < rows, k_left, rows)),
            tag.command.eq(newest),
        ]
        next_word = ((piece + 1) >> c.b_narrow != 0) | (k_left <= rows)
        next_k_base = (k_base + Mux(c.b_transposed, next_word, c.b_stride * rows))[:ADDRESS_BITS]
        last_k = (k_left <= rows) & (taps_x_left == 1) & (taps_y_left == 1)
        last_slot = slot == slots - 1
        next_n_base = (n_base + Mux(c.b_transposed, c.b_stride * cols, Mux(last_slot, wide_words, 0)))[:ADDRESS_BITS]
        command = self.command.payload
        with m.If(~asking):
            m.d.comb += self.command.ready.eq(1)
            row_base, column_base = Mux(command.b_transposed, command.b, 0), Mux(command.b_transposed, 0, command.b)
            m.d.sync += [
                *(c.eq(command), n_left.eq(command.n), k_left.eq(command.k), asking.eq(self.command.valid)),
                *(taps_x_left.eq(command.taps_x), taps_y_left.eq(command.taps_y)),
                *(n_base.eq(row_base), k_base.eq(column_base), line_base.eq(command.b), channels_base.eq(command.channels)),
                *(channels.eq(0), first_tile.eq(1), line.eq(0), part.eq(0), slot.eq(0), piece.eq(0)),
            ]
        with m.Elif(taken & ~last_part):
            m.d.sync += part.eq(part + 1)
        with m.Elif(taken & ~last_line):
            m.d.sync += [part.eq(0), line.eq(line + 1), line_base.eq(line_base + Mux(channels, 1, c.b_stride))]
        with m.Elif(taken):
            m.d.sync += [part.eq(0), line.eq(0), first_tile.eq(0), channels.eq(0)]
            with m.If(first_tile):
                m.d.sync += [channels.eq(1), line_base.eq(channels_base), channels_base.eq(channels_base + c.channels_stride)]
            with m.Elif(~last_k):
                m.d.sync += [k_left.eq(k_left - rows), k_base.eq(next_k_base), line_base.eq(n_base + next_k_base)]
                m.d.sync += piece.eq(Mux(next_word, 0, piece + 1))
                with m.If(k_left <= rows):
                    m.d.sync += [k_left.eq(c.k), taps_x_left.eq(Mux(taps_x_left == 1, c.taps_x, taps_x_left - 1))]
                    with m.If(taps_x_left == 1):
                        m.d.sync += taps_y_left.eq(taps_y_left - 1)
            with m.Else():
                first_k = Mux(c.b_transposed, 0, c.b)
                m.d.sync += [
                    *(taps_x_left.eq(c.taps_x), taps_y_left.eq(c.taps_y)),
                    *(k_left.eq(c.k), k_base.eq(first_k), n_left.eq(n_left - cols), asking.eq(n_left > cols)),
                    *(first_tile.eq(1), n_base.eq(next_n_base), line_base.eq(next_n_base + first_k)),
                    *(slot.eq(Mux(last_slot, 0, slot + 1)), piece.eq(0)),
                ]
        return tag, taken

    def _store(self, m: Module, about: Callable[[Value], data.View], arrival: stream.Interface) -> None:
        """Put the arriving word in its place, less the zero point; what no word fills stays zero. about: the constants of a command."""
        p = self._p
        word_bytes = p.word_bytes
        word, tag = arrival.payload.word, arrival.payload.tag
        its = about(tag.command)
        octets = [element - its.b_zero_point for element in _elements(word, tag.piece, its.b_narrow, word_bytes)]
        channel_words, channels_command = Signal(p.channel_words * 8 * word_bytes, reset_less=True), Signal()
        common = about(channels_command)
        tile, tile_full, channels_full = Signal.like(self.tile, reset_less=True), Signal(), Signal()
        free = Mux(tag.channels, ~channels_full | self.channels_taken, ~tile_full | self.tile_taken)
        fills = arrival.valid & free & tag.last & ~tag.channels
        m.d.comb += [
            self.channels.records.as_value().eq(channel_words),
            *(self.channels[name].eq(common[name]) for name in ("out_zero_point", "low", "high")),
            self.tile.eq(tile),
            arrival.ready.eq(free),
            self.channels_full.eq(channels_full),
            self.tile_ready.eq(tile_full | fills),
        ]

        with m.If(self.channels_taken):
            m.d.sync += channels_full.eq(0)
        with m.If(arrival.valid & free & tag.channels):
            m.d.sync += channel_words.word_select(tag.line, 8 * word_bytes).eq(word)
            with m.If(tag.last):
                m.d.sync += [channels_full.eq(1), channels_command.eq(tag.command)]
        with m.If(self.tile_taken):
            m.d.sync += tile_full.eq(0)
        with m.If(arrival.valid & free & ~tag.channels):
            with m.If(tag.last):
                m.d.sync += tile_full.eq(1)
            with m.If((tag.line == 0) & (tag.part == 0)):
                m.d.sync += tile.eq(0)
            for col in range(p.cols):
                with m.If(its.b_transposed & (tag.line == col)):
                    for row in range(p.rows):
                        with m.If(row < tag.k):
                            m.d.sync += tile[col][row].eq(octets[row])
                part, lane = divmod(col, word_bytes)
                octet = Array(octets[lane + s * p.cols] for s in range(max(1, word_bytes // p.cols)))[tag.slot]
                with m.If(~its.b_transposed & (tag.part == part) & (col < tag.n)):
                    for row in range(p.rows):
                        with m.If(tag.line == row):
                            m.d.sync += tile[col][row].eq(octet)


def _elements(word: Value, piece: Value, narrow: Value, count: int) -> list[Value]:
    """``count`` signed elements of 8, 4 or 2 bits, by ``narrow``: the ``piece``-th ones of the word."""
    octets = [word.word_select(i, 8).as_signed() for i in range(count)]
    for index, bits in ((1, 4), (2, 2)):
        part = word.word_select(piece[:index], bits * count)
        octets = [Mux(narrow == index, part.word_select(i, bits).as_signed(), octet) for i, octet in enumerate(octets)]
    return octets
