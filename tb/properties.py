"""Monitors of streams for proofs (tb/formal.py)."""

from collections.abc import Callable

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Signal, Value
from amaranth.lib import stream


def drained(m: Module, i: stream.Interface, o: stream.Interface, cycles: int) -> Value:
    """Whether for so many cycles nothing was offered to a block, and its output was ready."""
    quiet = Signal(range(cycles + 1))
    with m.If(i.valid | ~o.ready):
        m.d.sync += quiet.eq(0)
    with m.Elif(quiet != cycles):
        m.d.sync += quiet.eq(quiet + 1)
    return quiet == cycles


class Never(Elaboratable):
    """``fault`` never happens. text: what it is."""

    def __init__(self, fault: Value, text: str) -> None:
        self._fault, self._text = fault, text

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Assert(~self._fault, self._text)
        return m


class Holds(Elaboratable):
    """Valid and payload of a stream hold until ready. assume: of a block's input; it is what the block may rely on."""

    def __init__(self, port: stream.Interface, *, assume: bool = False) -> None:
        self._port, self._rule = port, Assume if assume else Assert

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port, payload = self._port, Value.cast(self._port.payload)
        waits, before = Signal(), Signal(len(payload))
        m.d.sync += [waits.eq(port.valid & ~port.ready), before.eq(payload)]
        m.d.comb += [
            self._rule(~waits | port.valid, f"{port.valid.name} is taken back"),
            self._rule(~waits | (payload == before), f"{port.valid.name}: payload changes before ready"),
            Cover(waits & port.ready, f"{port.valid.name} waits for ready"),
        ]
        return m


class Passes(Elaboratable):
    """What enters at ``i`` leaves at ``o``: once, in order, as ``result(payload)``.

    capacity: how many the block can hold, exactly. drains: cycles without input and with ready output after which it holds none
    and is ready. One input, chosen freely, is followed through the block.
    """

    def __init__(
        self,
        i: stream.Interface,
        o: stream.Interface,
        *,
        capacity: int,
        drains: int,
        result: Callable[[Value], Value] = lambda payload: payload,
    ) -> None:
        self._i, self._o, self._capacity, self._drains, self._result = i, o, capacity, drains, result

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = self._i, self._o
        enters, leaves = i.valid & i.ready, o.valid & o.ready
        held = Signal(range(self._capacity + 1))
        empty = drained(m, i, o, self._drains)
        m.d.sync += held.eq(held + enters - leaves)
        m.d.comb += [
            Assert(~leaves | (held != 0), "an output comes without an input"),
            Assert(~enters | leaves | (held != self._capacity), "more enter than the capacity"),
            Assert(~empty | (held == 0), "something is lost or stuck"),
            Assert(~empty | i.ready, "nothing enters any more"),
            Cover(held == self._capacity, "the capacity is used"),
        ]

        follows, ahead, wanted = Signal(), Signal.like(held), Signal(len(Value.cast(o.payload)))
        arrives = follows & leaves & (ahead == 0)
        m.d.comb += [
            Assert(~arrives | (Value.cast(o.payload) == wanted), "another payload leaves than entered"),
            Cover(arrives, "a payload leaves"),
        ]
        with m.If(~follows & enters & AnySeq(1)):
            m.d.sync += [follows.eq(1), ahead.eq(held - leaves), wanted.eq(self._result(Value.cast(i.payload)))]
        with m.Elif(arrives):
            m.d.sync += follows.eq(0)
        with m.Elif(leaves):
            m.d.sync += ahead.eq(ahead - 1)
        return m
