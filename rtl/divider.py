"""Division, pipelined."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .delay import delay


class Divider(wiring.Component):
    """``dividend == quotient * divisor + remainder`` with the remainder below the divisor, ``latency`` cycles later; a bit of the
    quotient a cycle.

    All are unsigned. The quotient must fit its bits.
    """

    def __init__(self, *, quotient_bits: int, divisor_bits: int) -> None:
        super().__init__(
            {
                "dividend": In(unsigned(quotient_bits + divisor_bits)),
                "divisor": In(unsigned(divisor_bits)),
                "quotient": Out(unsigned(quotient_bits)),
                "remainder": Out(unsigned(divisor_bits)),
            }
        )

    @property
    def latency(self) -> int:
        return len(self.quotient)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The dividend's low bits leave a register at its top as the quotient's enter it.
        rest, bits, divisor = self.dividend[self.latency :], self.dividend[: self.latency], self.divisor
        for place in reversed(range(self.latency)):
            longer = Cat(bits[-1], rest)
            less = Signal(len(longer) + 1, name=f"less_{place}")
            fits = ~less[-1]
            rest_after = Signal(len(rest), name=f"rest_{place}", reset_less=True)
            bits_after = Signal(len(bits), name=f"bits_{place}", reset_less=True)
            m.d.comb += less.eq(longer - divisor)
            m.d.sync += [rest_after.eq(Mux(fits, less, longer)), bits_after.eq(Cat(fits, bits[:-1]))]
            rest, bits, divisor = rest_after, bits_after, delay(m, divisor, 1)
        m.d.comb += [self.quotient.eq(bits), self.remainder.eq(rest)]
        return m
