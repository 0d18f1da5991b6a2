"""Reads the windows of a feature map in the order in which the compute unit takes them, with no copy of the map."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import AddressGenerator, Fetcher, words_layout
from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COMPUTE, POSITION_BITS, STRIDE_BITS, TAP_BITS
from .layouts import record_layout
from .scratchpad import ReadPort

_POSITION = data.StructLayout({"address": ADDRESS_BITS, "x": signed(POSITION_BITS), "y": signed(POSITION_BITS)})
_STRIDE = data.StructLayout({"address": STRIDE_BITS, "x": TAP_BITS, "y": TAP_BITS})
# What a word is the last of: the rows of a tile, the tiles of a tap, ... and whether it lies outside of the map, where it counts as zero.
WORD_NOTE = data.StructLayout({"last_row": 1, "last_tile": 1, "last": 1, "outside": 1})


class WindowReader(wiring.Component):
    """Members
    -------
    command: a compute command, taken as soon as the words of the one before have been asked for.
    words: for each tile of channels, then each tile of k, tap by tap: the word of each window. port: scratchpad port.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        word = parameters.word_bytes
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(COMPUTE))),
                "words": Out(stream.Signature(words_layout(word, WORD_NOTE))),
                "port": Out(ReadPort(word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, c = self._p, self.command.payload
        # From the innermost: windows of a line, lines, words of a tap, taps, tiles of channels.
        m.submodules.generator = generator = AddressGenerator((1, 1, p.rows, 1, 1, p.cols), _POSITION, _STRIDE)
        m.submodules.fetcher = fetcher = Fetcher(p.word_bytes, WORD_NOTE)
        loops = (
            (c.m, c.a_stride, c.x_step, 0),
            (c.lines, c.a_line, 0, c.y_step),
            (c.k, 1, 0, 0),
            (c.taps_x, c.a_tap_x, c.x_tap, 0),
            (c.taps_y, c.a_tap_y, 0, c.y_tap),
            (c.n, 0, 0, 0),
        )
        base = generator.i.payload.base
        m.d.comb += [base.address.eq(c.a), base.x.eq(c.x_start), base.y.eq(c.y_start)]
        for i, (count, address, x, y) in enumerate(loops):
            stride = generator.i.payload.stride[i]
            m.d.comb += [generator.i.payload.count[i].eq(count), stride.address.eq(address), stride.x.eq(x), stride.y.eq(y)]
        height, width = Signal.like(c.height), Signal.like(c.width)
        m.d.comb += [generator.i.valid.eq(self.command.valid), self.command.ready.eq(generator.i.ready)]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [height.eq(c.height), width.eq(c.width)]

        position, ends, note = generator.o.payload.position, generator.o.payload.ends, fetcher.i.payload.note
        # As unsigned numbers, negative ones are beyond any size.
        outside = (position.x.as_unsigned() >= width) | (position.y.as_unsigned() >= height)
        m.d.comb += [
            fetcher.i.valid.eq(generator.o.valid),
            generator.o.ready.eq(fetcher.i.ready),
            fetcher.i.payload.address.eq(Mux(outside, 0, position.address)),
            note.last_row.eq(ends[:2].all()),
            note.last_tile.eq(ends[2:5].all()),
            note.last.eq(ends.all()),
            note.outside.eq(outside),
        ]
        connect(m, flipped(self.words), fetcher.words)
        connect(m, flipped(self.port), fetcher.port)
        return m
