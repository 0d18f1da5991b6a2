"""A register in a stream, before which a pipeline of any length can stand still."""

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Skid(wiring.Component):
    """A FIFO of two payloads of ``shape``, one in and one out per cycle; valid, payload and ready come from registers.

    ``i.ready`` may enable a whole pipeline that ends here, so that what is in it waits where it is: a queue (rtl/streams.Pipelined)
    that takes all of it is more logic.

    latency: cycles from an input to its output when empty. reset_less: payloads are not reset.
    """

    latency = 1

    def __init__(self, shape: ShapeLike, *, reset_less: bool = True) -> None:
        self._width, self._reset_less = Shape.cast(shape).width, reset_less
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = Value.cast(self.i.payload)
        first, second = (Signal(self._width, name=name, reset_less=self._reset_less) for name in ("first", "second"))
        room = Signal(init=1)  # the second is free
        moves = ~self.o.valid | self.o.ready
        m.d.comb += [self.i.ready.eq(room), Value.cast(self.o.payload).eq(first)]
        m.d.sync += [room.eq(moves | (room & ~self.i.valid)), self.o.valid.eq(~moves | ~room | self.i.valid)]
        with m.If(room):
            m.d.sync += second.eq(payload)
        with m.If(moves):
            m.d.sync += first.eq(Mux(room, payload, second))
        return m
