"""Left-justification: a number shifted up until its leading one is its highest bit."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Normaliser(wiring.Component):
    """``o = i << shift`` with the largest shift that loses no one, ``latency`` cycles later; one step of a binary search a cycle.

    Of zero, o is zero and shift all ones within its bits.
    """

    def __init__(self, width: int) -> None:
        self._steps = (width - 1).bit_length()
        super().__init__({"i": In(unsigned(width)), "o": Out(unsigned(width)), "shift": Out(unsigned(self._steps))})

    @property
    def latency(self) -> int:
        return self._steps

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value, shift = self.i, []
        for step in reversed(range(self._steps)):
            by = 1 << step
            clear = Signal(name=f"clear_{by}")
            shifted = Signal(len(self.i), name=f"shifted_{by}", reset_less=True)
            # the bits that are not there count as clear
            m.d.comb += clear.eq(~value[max(0, len(self.i) - by) :].any())
            m.d.sync += shifted.eq(Mux(clear, value << by, value))
            held = [Signal(name="shift_bit", reset_less=True) for _ in range(len(shift) + 1)]
            m.d.sync += [register.eq(bit) for register, bit in zip(held, [*shift, clear], strict=True)]
            value, shift = shifted, held
        m.d.comb += [self.o.eq(value), self.shift.eq(Cat(*reversed(shift)))]
        return m
