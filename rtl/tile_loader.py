"""Loads the stationary operand of the compute unit, tile by tile, and the requantization parameters of its channels.

Tiles come in the order n, then k. Each goes into a shadow register while the array works on the one before; the channels of
a tile row (same n) come before its first tile.
"""

from itertools import pairwise

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, CHANNEL, COUNT_BITS
from .layouts import record_layout
from .mac_array import tile_layout
from .scratchpad import READ_LATENCY, ReadPort


def channels_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(record_layout(CHANNEL), cols)


class TileLoader(wiring.Component):
    """Members
    -------
    command: the step's command, taken when it starts; held by the sender while ``busy``.
    tile, tile_full, tile_taken: the next tile; elements beyond n and k are zero. channels likewise.
    """

    def __init__(self, parameters: MachineParameters, command: data.StructLayout) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command)),
                "port": Out(ReadPort(parameters.word_bytes)),
                "tile": Out(tile_layout(parameters.rows, parameters.cols)),
                "tile_full": Out(1),
                "tile_taken": In(1),
                "channels": Out(channels_layout(parameters.cols)),
                "channels_full": Out(1),
                "channels_taken": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        rows, cols, word = p.rows, p.cols, p.word_bytes
        c = Signal.like(self.command.payload)
        n_left, k_left = Signal(COUNT_BITS), Signal(COUNT_BITS)  # from the tile's first channel and first k
        n_base = Signal(ADDRESS_BITS)  # transposed: row of the tile's first channel; else column word of that channel
        k_base = Signal(ADDRESS_BITS)  # transposed: word of the tile's first k in each row; else row of that k
        channels_base = Signal(ADDRESS_BITS)
        slots = max(1, word // cols)  # tiles that share a word, where the array is narrower than it
        slot = Signal(range(slots))

        # One request: line j of the tile, word i of that line.
        requesting_channels, requesting_tile = Signal(), Signal()
        line, line_base = Signal(range(max(rows, cols, p.channel_words))), Signal(ADDRESS_BITS)
        wide_words = max(1, cols // word)
        part = Signal(range(wide_words))
        lines = Mux(c.b_transposed, Mux(n_left < cols, n_left, cols), Mux(k_left < rows, k_left, rows))
        part_ends = c.b_transposed | (part == wide_words - 1) | (n_left <= (part + 1) * word)
        last_line = Mux(requesting_channels, line == p.channel_words - 1, line == lines - 1)
        last = last_line & (requesting_channels | part_ends)
        taken = self.port.address.valid & self.port.address.ready
        m.d.comb += [
            self.port.address.payload.eq(line_base + part),
            self.port.address.valid.eq(requesting_channels | requesting_tile),
        ]
        with m.If(taken):
            with m.If(requesting_channels):
                m.d.sync += [line.eq(line + 1), line_base.eq(line_base + 1)]
            with m.Elif(part_ends):
                m.d.sync += [line.eq(line + 1), part.eq(0), line_base.eq(line_base + c.b_stride)]
            with m.Else():
                m.d.sync += part.eq(part + 1)

        # The tag of each request arrives with its word.
        tag_layout = data.StructLayout({"valid": 1, "channels": 1, "line": line.shape(), "part": part.shape(), "last": 1})
        tags = [Signal(tag_layout, name=f"tag{i}") for i in range(READ_LATENCY)]
        m.d.sync += [
            tags[0].valid.eq(taken),
            tags[0].channels.eq(requesting_channels),
            tags[0].line.eq(line),
            tags[0].part.eq(part),
            tags[0].last.eq(last),
            *(later.eq(earlier) for earlier, later in pairwise(tags)),
        ]
        self._store(m, tags[-1], c, n_left, k_left, slot)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                command = self.command.payload
                m.d.sync += [
                    c.eq(command),
                    n_left.eq(command.n),
                    n_base.eq(Mux(command.b_transposed, command.b, 0)),
                    channels_base.eq(command.channels),
                    slot.eq(0),
                ]
                with m.If(self.command.valid):
                    m.next = "CHANNELS"
            with m.State("CHANNELS"):
                m.d.sync += [
                    k_left.eq(c.k),
                    k_base.eq(Mux(c.b_transposed, 0, c.b)),
                    line.eq(0),
                    line_base.eq(channels_base),
                ]
                with m.If(~self.channels_full):
                    m.d.sync += requesting_channels.eq(1)
                    m.next = "REQUEST CHANNELS"
            with m.State("REQUEST CHANNELS"), m.If(taken & last):
                m.d.sync += requesting_channels.eq(0)
                m.next = "TILE"
            with m.State("TILE"):
                m.d.sync += [line.eq(0), line_base.eq(n_base + k_base)]
                with m.If(~self.tile_full):
                    m.d.sync += requesting_tile.eq(1)
                    m.next = "REQUEST TILE"
            with m.State("REQUEST TILE"), m.If(taken & last):
                m.d.sync += requesting_tile.eq(0)
                m.next = "STORE TILE"
            with m.State("STORE TILE"), m.If(tags[-1].valid & tags[-1].last & ~tags[-1].channels):
                m.d.sync += [k_left.eq(k_left - rows), k_base.eq(k_base + Mux(c.b_transposed, 1, c.b_stride * rows))]
                m.next = "TILE"
                with m.If(k_left <= rows):
                    m.d.sync += [n_left.eq(n_left - cols), channels_base.eq(channels_base + c.channels_stride)]
                    with m.If(c.b_transposed):
                        m.d.sync += n_base.eq(n_base + c.b_stride * cols)
                    with m.Elif(slot == slots - 1):
                        m.d.sync += [n_base.eq(n_base + wide_words), slot.eq(0)]
                    with m.Else():
                        m.d.sync += slot.eq(slot + 1)
                    m.next = "CHANNELS"
                    with m.If(n_left <= cols):
                        m.next = "IDLE"
        return m

    def _store(self, m: Module, tag, c, n_left: Signal, k_left: Signal, slot: Signal) -> None:
        """Put the arriving word in its place, less the zero point, zero beyond n and k."""
        p = self._p
        word_bytes = p.word_bytes
        octets = [self.port.word.word_select(i, 8).as_signed() - c.b_zero_point for i in range(word_bytes)]
        channel_words = Signal(p.channel_words * 8 * word_bytes)
        m.d.comb += self.channels.as_value().eq(channel_words)

        with m.If(self.tile_taken):
            m.d.sync += [self.tile_full.eq(0), self.tile.eq(0)]
        with m.If(self.channels_taken):
            m.d.sync += self.channels_full.eq(0)
        with m.If(tag.valid & tag.channels):
            m.d.sync += channel_words.word_select(tag.line, 8 * word_bytes).eq(self.port.word)
            with m.If(tag.last):
                m.d.sync += self.channels_full.eq(1)
        with m.If(tag.valid & ~tag.channels):
            with m.If(tag.last):
                m.d.sync += self.tile_full.eq(1)
            for col in range(p.cols):
                with m.If(c.b_transposed & (tag.line == col)):
                    for row in range(p.rows):
                        with m.If(row < k_left):
                            m.d.sync += self.tile[col][row].eq(octets[row])
                part, lane = divmod(col, word_bytes)
                octet = Array(octets[lane + s * p.cols] for s in range(max(1, word_bytes // p.cols)))[slot]
                with m.If(~c.b_transposed & (tag.part == part) & (col < n_left)):
                    for row in range(p.rows):
                        with m.If(tag.line == row):
                            m.d.sync += self.tile[col][row].eq(octet)
