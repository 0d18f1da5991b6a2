"""Bytes on a serial line: 8 bits, no parity, one stop bit."""

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

PHASE_BITS = 20  # of a bit's time: a bit is right to 2**-20 of the clock


def _phase_step(clock: int, baud: int) -> int:
    """Part of a bit that a cycle is, of 1 << PHASE_BITS."""
    return round((baud << PHASE_BITS) / clock)


class UartReceiver(wiring.Component):
    """Members
    -------
    rx: the line. byte: when valid, for a cycle. broken: instead of valid, when there was no stop bit.
    """

    def __init__(self, *, clock: int, baud: int) -> None:
        self._step = _phase_step(clock, baud)
        super().__init__({"rx": In(1, init=1), "byte": Out(8), "valid": Out(1), "broken": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        phase, middle = Signal(PHASE_BITS), Signal()  # middle: of a bit, in the next cycle
        left = Signal(range(11))  # bits to come, start and stop among them
        m.d.sync += [Cat(phase, middle).eq(phase + self._step), self.valid.eq(0), self.broken.eq(0)]
        with m.If(left == 0), m.If(~line):
            m.d.sync += [left.eq(10), phase.eq(1 << (PHASE_BITS - 1)), middle.eq(0)]
        with m.Elif(middle):
            m.d.sync += left.eq(left - 1)
            with m.If((left == 10) & line):  # a start bit that is none
                m.d.sync += left.eq(0)
            with m.Elif(left == 1):
                m.d.sync += [self.valid.eq(line), self.broken.eq(~line)]
            with m.Else():
                m.d.sync += self.byte.eq(Cat(self.byte[1:], line))
        return m


class UartTransmitter(wiring.Component):
    """Members
    -------
    i: bytes. tx: the line.
    """

    def __init__(self, *, clock: int, baud: int) -> None:
        self._step = _phase_step(clock, baud)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        phase, ends = Signal(PHASE_BITS), Signal()
        bits, left = Signal(9), Signal(range(11))
        m.d.comb += self.i.ready.eq(left == 0)
        m.d.sync += Cat(phase, ends).eq(phase + self._step)
        with m.If(left == 0), m.If(self.i.valid):
            m.d.sync += [bits.eq(Cat(self.i.payload, C(1, 1))), self.tx.eq(0), left.eq(10), phase.eq(0), ends.eq(0)]
        with m.Elif(ends):
            m.d.sync += [self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], C(1, 1))), left.eq(left - 1)]
        return m
