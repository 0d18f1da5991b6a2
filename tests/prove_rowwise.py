"""Proof of the skeleton of softmax and LayerNorm (rtl/rowwise.py) for any rows, any stalls and resets: `nox -s formal`.

Of the first cycles after the start only, though enough of them that the row memory has been filled, and its end passed.

Front and back are the smallest there are, and what they compute is not looked at: it does not change the control, which is proved.
Malformed rows come as they like.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from celosia.rtl.delay import delay
from celosia.rtl.elements import beat_layout
from celosia.rtl.rowwise import Rowwise, back_ports, front_ports
from celosia.tb.formal import Proof, ProofError
from celosia.tb.properties import Holds, drained

CYCLES = 18
BIT = data.ArrayLayout(unsigned(1), 1)


@dataclass(frozen=True)
class Tiny:
    """Smaller than a circuit may be."""

    lanes: int = 1
    row_elements: int = 2


class ParityFront(wiring.Component):
    latency = 1
    factor_latency = 1

    def __init__(self) -> None:
        super().__init__(front_ports(beat_layout(1, unsigned(1)), BIT, 1))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parity = Signal()
        with m.If(self.valid):
            m.d.sync += parity.eq(Mux(self.first, 0, parity) ^ self.i.values[0])
        m.d.comb += [self.stored.eq(delay(m, self.i.values.as_value(), 1)), self.factor.eq(parity)]
        return m


class ParityBack(wiring.Component):
    latency = 1

    def __init__(self) -> None:
        super().__init__(back_ports(BIT, 1, BIT))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.o[0].eq(self.i.stored[0] ^ self.i.factor)
        return m


class RowsPass(Elaboratable):
    """As many beats leave as well-formed rows have brought, and none before its row is complete; a malformed row leaves an error.

    drains: cycles without input and with ready output after which no complete row is inside, and the input is ready.
    """

    def __init__(self, block: Rowwise, *, most: int, drains: int) -> None:
        self._block, self._most, self._drains = block, most, drains

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, most = self._block.i, self._block.o, self._most
        enters, leaves = i.valid & i.ready, o.valid & o.ready
        beat = i.payload
        # The row that enters, as far as it has come.
        length, bad = Signal(range(most + 2)), Signal()
        spoilt = (length != 0) & bad | ~beat.keep[0] | (length >= most) | (length == 0) & self._block.refuse
        with m.If(enters):
            m.d.sync += [bad.eq(spoilt), length.eq(Mux(beat.last, 0, length + (length <= most)))]
        good = enters & beat.last & ~spoilt

        held, empty = Signal(5), drained(m, i, o, self._drains)
        m.d.sync += held.eq(held + Mux(good, length + 1, 0) - leaves)
        dropped = enters & beat.last & spoilt
        said = Signal()
        m.d.sync += said.eq(dropped)
        m.d.comb += [
            Assume(~self._block.hold),
            Assert(~leaves | (held != 0), "a beat leaves that is of no complete, well-formed row"),
            Assert(~empty | (held == 0), "a row is lost or stuck"),
            Assert(~empty | i.ready, "nothing enters any more"),
            Assert(~said | (self._block.errors != 0), "a row is dropped without an error"),
            Cover(dropped & (held > most), "a row is dropped while others wait"),
        ]
        return m


def prove(folder: Path, block: Rowwise) -> None:
    rules = Holds(block.i, assume=True), Holds(block.o), RowsPass(block, most=2, drains=12)
    Proof(block).check(folder, *rules, depth=CYCLES, first=CYCLES)


def test_rows_pass(tmp_path: Path) -> None:
    prove(tmp_path, Rowwise(Tiny(), ParityFront(), ParityBack()))  # pyright: ignore[reportArgumentType] - a stand-in


def test_a_lost_row_is_refuted(tmp_path: Path) -> None:
    block = Rowwise(Tiny(row_elements=1), ParityFront(), ParityBack())  # pyright: ignore[reportArgumentType] - a stand-in
    with pytest.raises(ProofError, match="fails: a row is lost or stuck"):
        prove(tmp_path, block)
