"""The pixels of each line of results, one a cycle."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.deform import DeformCircuit
from ..arch.steps import COUNT_BITS, DEFORM
from ..countdown import Countdown
from ..layouts import record_layout
from .layouts import line_layout, pixel_layout, wrapped
from .line_walk import limited


class PixelWalk(wiring.Component):
    """Members
    -------
    command: while it is done. lines, pixels: a line is taken with the last pixel of the one before.
    """

    def __init__(self, circuit: DeformCircuit) -> None:
        self._c = circuit
        super().__init__(
            {
                "command": In(record_layout(DEFORM)),
                "lines": In(stream.Signature(line_layout(circuit))),
                "pixels": Out(stream.Signature(pixel_layout(circuit))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, command, pixel = self._c, self.command, self.pixels.payload
        line, new_line = Signal(line_layout(c)), Signal()
        x, right = (Signal(signed(COUNT_BITS + 2), name=name) for name in ("x", "right"))  # columns on both sides of the centre
        quotient, rest = Signal.like(pixel.quotient), Signal.like(pixel.rest)
        columns, running = Countdown(COUNT_BITS, name="columns"), Signal()
        ends = self.pixels.ready & columns.ends
        following = rest + command.x_step
        m.d.comb += [
            self.pixels.valid.eq(running),
            self.lines.ready.eq(~running | ends),
            *(pixel[name].eq(line[name]) for name in ("row", "first", "last", "until")),
            pixel.new_line.eq(new_line),
            *(pixel.frees.eq(Mux(columns.ends, line.frees, 0)), pixel.new_group.eq(new_line & line.new_group)),
            *(pixel.quotient.eq(quotient), pixel.rest.eq(rest)),
            *(pixel.left.eq(limited(x, c.reach)), pixel.right.eq(limited(right, c.reach))),
        ]
        with m.If(running & self.pixels.ready):
            m.d.sync += [new_line.eq(0), x.eq(x + command.x_step), right.eq(right - command.x_step), *columns.advance()]
            m.d.sync += [rest.eq(wrapped(following, c.banks)), quotient.eq(quotient + (following >= c.banks))]
        with m.If(self.lines.ready):
            start = command.x_start
            m.d.sync += [running.eq(self.lines.valid), line.eq(self.lines.payload), new_line.eq(1), *columns.start(command.columns)]
            m.d.sync += [x.eq(start), right.eq(command.width - 1 - start)]
            m.d.sync += [rest.eq(wrapped(start, c.banks)), quotient.eq(Mux(start < 0, -1, 0))]
        return m
