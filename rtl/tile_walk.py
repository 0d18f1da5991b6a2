"""The words of the stationary operand in the order in which the array takes its tiles, and those of what its results go through."""

import enum

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.activation import TABLE_ENTRIES
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS, TAP_BITS, Engine
from .countdown import Countdown
from .engine import command_layout
from .skid import Skid

MOST_PIECES = 4  # tiles in a word of b, of elements of 2 bits


class Use(enum.IntEnum):
    """Of a run of words."""

    TILE = 0
    TABLE = 1
    CHANNELS = 2
    FACTORS = 3


def wide_words(p: MachineParameters) -> int:
    """Words of a line of b [k, n] of a tile."""
    return max(1, p.cols // p.word_bytes)


def slots_of_word(p: MachineParameters) -> int:
    """Tiles that share a word of b [k, n]."""
    return max(1, p.word_bytes // p.cols)


def table_words(p: MachineParameters) -> int:
    """Words of a table of results."""
    return -(-TABLE_ENTRIES // p.word_bytes)


def run_layout(p: MachineParameters) -> data.StructLayout:
    """The words of a tile, of its factors, of its channels or of the table of results: lines 0 to last_line, ``stride`` apart, of parts 0
    to last_part.

    n, k: channels and rows along K of the tile that count. slot: its place among the tiles that share a word of b [k, n]; piece: among
    those that share one of b [n, k] with elements of fewer bits. command: the bit that names the command."""
    line, part = range(max(p.rows, p.cols, p.channel_words, table_words(p))), range(wide_words(p))
    note = {
        **{"use": range(len(Use)), "n": range(p.cols + 1), "k": range(p.rows + 1)},
        **{"slot": range(slots_of_word(p)), "piece": range(MOST_PIECES), "command": 1},
    }
    place = {"address": ADDRESS_BITS, "stride": STRIDE_BITS, "last_line": line, "last_part": part}
    return data.StructLayout({**place, "note": data.StructLayout(note)})


class TileWalk(wiring.Component):
    """Tiles come in the order n, then k tap by tap. The channels of a tile row (same n) come before its last tile, or after its only one:
    what follows them in the queue waits until those of the row before are taken. Before the first channels comes the table of results, if
    there is one. Before the first tile of each tap come its factors, if there are any.

    Members
    -------
    command: a compute command, taken when all runs of the one before are out but for two at most. name: the bit that names it, from the
    cycle after it was taken on.
    runs: as `run_layout` says.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                "name": In(1),
                "runs": Out(stream.Signature(run_layout(parameters))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, command = self._p, self.command.payload
        rows, cols, slots = p.rows, p.cols, slots_of_word(p)
        c = Signal.like(command)
        # From the tile's first channel, and from its first k of the tap.
        n, k = Countdown(COUNT_BITS, step=cols, name="n"), Countdown(COUNT_BITS, step=rows, name="k")
        taps_x, taps_y = (Countdown(TAP_BITS, name=f"taps_{axis}") for axis in "xy")
        n_base = Signal(ADDRESS_BITS)  # transposed: row of the tile's first channel; else column word of that channel
        k_base = Signal(ADDRESS_BITS)  # transposed: word of the tile's first k in each row; else row of that k
        channels_base, factors_base = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        slot, piece = Signal(range(slots)), Signal(range(MOST_PIECES))
        running, use, table_left = Signal(), Signal(Use), Signal()
        channels_left = Signal()  # of this tile row
        single = Signal(data.StructLayout({"k": 1, "taps_x": 1}))  # there is one tile in a tap, one tap in a line
        tile, channels = use == Use.TILE, use == Use.CHANNELS
        factors, factored = (use == Use.FACTORS, c.b_factored) if p.factor_bits else (Const(0), Const(0))
        tile_n, tile_k = Mux(n.left < cols, n.left, cols), Mux(k.left < rows, k.left, rows)
        m.submodules.skid = skid = Skid(self.runs.payload.shape())
        run = skid.i.payload
        m.d.comb += [
            run.address.eq(Mux(tile, n_base + k_base, Mux(channels, channels_base, Mux(factors, factors_base, c.table)))),
            run.stride.eq(Mux(tile, c.b_stride, 1)),
            run.last_line.eq(
                Mux(tile, Mux(c.b_transposed, tile_n, tile_k), Mux(channels, p.channel_words, Mux(factors, p.factor_words, table_words(p))))
                - 1
            ),
            run.last_part.eq(Mux(~tile | c.b_transposed, 0, sum(tile_n > part * p.word_bytes for part in range(1, wide_words(p))))),
            run.note.use.eq(use),
            run.note.command.eq(self.name),
            *(run.note[name].eq(value) for name, value in (("n", tile_n), ("k", tile_k), ("slot", slot), ("piece", piece))),
            skid.i.valid.eq(running),
            self.command.ready.eq(~running),
        ]
        connect(m, flipped(self.runs), skid.o)

        # Whether the tile after this one is the row's last one, or this one is.
        in_last_tap = taps_x.ends & taps_y.ends & k.ends_next
        before_last_tap = single.k & Mux(single.taps_x, taps_y.ends_next, taps_y.ends & taps_x.ends_next)
        last_slot = slot == slots - 1
        next_word = ((piece + 1) >> c.b_narrow != 0) | k.ends
        with m.If(~running):
            m.d.sync += [
                *(c.eq(command), running.eq(self.command.valid), channels_left.eq(1), table_left.eq(command.tabulated)),
                *(single.k.eq(command.k <= rows), single.taps_x.eq(command.taps_x == 1)),
                use.eq(Mux(command.b_factored, Use.FACTORS, Use.TILE) if p.factor_bits else Use.TILE),
                *(n.start(command.n), k.start(command.k), taps_x.start(command.taps_x), taps_y.start(command.taps_y)),
                *(n_base.eq(command.b), k_base.eq(0), channels_base.eq(command.channels), slot.eq(0), piece.eq(0)),
                factors_base.eq(command.factors),
            ]
        with m.Elif(skid.i.ready & factors):
            m.d.sync += [use.eq(Use.TILE), factors_base.eq(factors_base + p.factor_words)]
        with m.Elif(skid.i.ready & channels_left & (in_last_tap | before_last_tap)):
            m.d.sync += [channels_left.eq(0), table_left.eq(0), use.eq(Mux(table_left, Use.TABLE, Use.CHANNELS))]
        with m.Elif(skid.i.ready & (use == Use.TABLE)):
            m.d.sync += use.eq(Use.CHANNELS)
        with m.Elif(skid.i.ready):
            m.d.sync += use.eq(Mux(factored & k.ends, Use.FACTORS, Use.TILE))
            with m.If(channels):
                m.d.sync += channels_base.eq(channels_base + c.channels_stride)
            m.d.sync += [
                k.advance(),
                k_base.eq(k_base + Mux(c.b_transposed, next_word, c.b_stride * rows)),
                piece.eq(Mux(next_word, 0, piece + 1)),
            ]
            with m.If(k.ends):
                m.d.sync += [k.start(c.k), taps_x.advance()]
            with m.If(k.ends & taps_x.ends):
                m.d.sync += [taps_x.start(c.taps_x), taps_y.advance()]
            with m.If(k.ends & taps_x.ends & taps_y.ends):
                m.d.sync += [
                    *(taps_y.start(c.taps_y), k_base.eq(0), channels_left.eq(1), slot.eq(Mux(last_slot, 0, slot + 1))),
                    *(n.advance(), running.eq(~n.ends)),
                    n_base.eq(n_base + Mux(c.b_transposed, c.b_stride * cols, Mux(last_slot, wide_words(p), 0))),
                ]
        return m
