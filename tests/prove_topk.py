"""Proofs of the top-k engine (rtl/topk.py) for any rows, any stalls and resets: `nox -s formal`.

For ever: nothing is lost by what packs elements side by side, and as many as are asked for are chosen of a row. Of the first cycles after
the start: the engine, with the smallest rows there are, gives as many results as are asked for, and never stops.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Array, Assert, Assume, Cover, Elaboratable, Module, Mux, Signal
from celosia.rtl.arch.formats import Format
from celosia.rtl.arch.record import Field, Record
from celosia.rtl.arch.topk import Result
from celosia.rtl.choice import Choice
from celosia.rtl.compactor import Compactor
from celosia.rtl.count_ones import count_ones, counts_before
from celosia.rtl.delay import delay
from celosia.rtl.topk import TopK
from celosia.tb.formal import Proof
from celosia.tb.properties import Holds, drained


class Packs(Elaboratable):
    """What is kept leaves once, in order, in full beats but for a row's last one; a row's elements leave with its last beat.

    An element and a row's end, chosen freely, are followed.
    """

    def __init__(self, block: Compactor, lanes: int) -> None:
        self._block, self._lanes = block, lanes

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, lanes, most = self._block.i, self._block.o, self._lanes, self._lanes * (self._block.latency + 2)
        comes, goes = self._block.i_valid, self._block.o_valid
        before = counts_before(i.keep)
        enter, leave = Mux(comes, before[-1], 0), Mux(goes, count_ones([*o.keep]), 0)
        held, ended = Signal(range(most + 1)), Signal()
        m.d.sync += [held.eq(held + enter - leave), ended.eq(comes & i.last)]
        m.d.comb += [
            Assume(~ended | ~comes),
            Assert(leave <= held, "an element leaves that has not come"),
            Assert(held + enter - leave <= most, "more are held than fit"),
            Assert(~goes | ((o.keep & (o.keep + 1)) == 0), "kept elements are not side by side"),
            Assert(~goes | o.last | o.keep.all(), "a beat is not full"),
        ]

        follows, ahead, wanted, lane = Signal(), Signal.like(held), Signal(), AnyConst(range(lanes))
        arrives = follows & (ahead < leave)
        with m.If(~follows & comes & Array(i.keep)[lane] & AnySeq(1)):
            m.d.sync += [follows.eq(1), ahead.eq(held + Array(before)[lane] - leave), wanted.eq(Array(i.values)[lane])]
        with m.Elif(arrives):
            m.d.sync += follows.eq(0)
        with m.Else():
            m.d.sync += ahead.eq(ahead - leave)
        m.d.comb += [
            Assert(~arrives | (Array(o.values)[ahead[: len(lane)]] == wanted), "another element leaves than came"),
            Cover(arrives & (ahead == lanes - 1), "an element leaves in the last lane"),
        ]

        of_row, rows, left = Signal(), Signal(4), Signal.like(held)  # its end is followed: rows before it, and elements up to it
        ends = goes & o.last
        inside = Signal(4)
        m.d.sync += inside.eq(inside + (comes & i.last) - ends)
        with m.If(~of_row & comes & i.last & AnySeq(1)):
            m.d.sync += [of_row.eq(1), rows.eq(inside - ends), left.eq(held + enter - leave)]
        with m.Elif(of_row):
            m.d.sync += [rows.eq(rows - ends), left.eq(left - leave), of_row.eq(~(ends & (rows == 0)))]
        m.d.comb += [
            Assert(~ends | (inside != 0), "a row ends that has not come"),
            Assert(~(of_row & ends & (rows == 0)) | (left == leave), "a row ends with another's elements, or without its own"),
        ]
        return m


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_compactor(tmp_path: Path, lanes: int) -> None:
    block = Compactor(1, lanes)
    Proof(block).check(tmp_path, Packs(block, lanes))


class Chooses(Elaboratable):
    """Above the threshold all are chosen, of those that equal it the first ``ties``, and nothing else.

    A row begins when nothing of the one before is under way, and has no more elements than fit.
    """

    def __init__(self, block: Choice, *, row_elements: int) -> None:
        self._block, self._row_elements = block, row_elements

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block, keys, latency = self._block, list(self._block.i.values), self._block.latency
        equal = [key == block.threshold for key in keys]
        equal = [keep & same for keep, same in zip(block.i.keep, equal, strict=True)]
        before, seen, ties, busy = counts_before(equal), Signal(range(self._row_elements + 1)), Signal.like(block.ties), Signal(latency)
        threshold = Signal.like(block.threshold)
        m.d.sync += [busy.eq((busy << 1) | block.i_valid), threshold.eq(block.threshold)]
        with m.If(block.start):
            m.d.sync += [seen.eq(0), ties.eq(block.ties)]
        with m.Elif(block.i_valid):
            m.d.sync += seen.eq(seen + before[-1])
        chosen = Signal(len(keys))
        for lane, key in enumerate(keys):
            above = block.i.keep[lane] & (key > block.threshold)
            m.d.comb += chosen[lane].eq(block.i_valid & (above | (equal[lane] & (seen + before[lane] < ties))))
        expected = delay(m, chosen, latency, reset_less=False)
        m.d.comb += [
            Assume(~block.start | ((busy == 0) & ~block.i_valid)),
            Assume(~(busy.any() | block.i_valid) | (block.threshold == threshold)),
            Assume(seen + before[-1] <= self._row_elements),
            Assert(block.chosen == expected, "other elements are chosen"),
            Cover((expected != 0) & (seen == self._row_elements), "a whole row is looked at"),
        ]
        return m


@pytest.mark.parametrize("lanes", [1, 2])
def test_choice(tmp_path: Path, lanes: int) -> None:
    block = Choice(2, lanes, row_elements=4)
    Proof(block).check(tmp_path, Chooses(block, row_elements=4))


@dataclass(frozen=True)
class Tiny:
    """Smaller than a circuit may be."""

    source: Format
    row_elements: int = 2
    lanes: int = 1
    result: Result = Result.INDICES
    record: Record = field(default_factory=lambda: Record("topk", (Field("k", 2),)))


class GivesAll(Elaboratable):
    """A well-formed row of n gives a packet of the smaller of n and k results, and nothing else gives any.

    drains: cycles without input and with ready output after which no row is inside, and the input is ready.
    """

    def __init__(self, block: TopK, *, most: int, drains: int) -> None:
        self._block, self._most, self._drains = block, most, drains

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, k, most = self._block.i, self._block.o, self._block.parameters.k, self._most
        enters, leaves, beat = i.valid & i.ready, o.valid & o.ready, i.payload
        length, bad = Signal(range(most + 2)), Signal()  # of the row that enters, as far as it has come
        spoilt = (length != 0) & bad | ~beat.keep[0] | (length >= most)
        with m.If(enters):
            m.d.sync += [bad.eq(spoilt), length.eq(Mux(beat.last, 0, length + (length <= most)))]
        good, size = enters & beat.last & ~spoilt, length + 1

        rows, results = Signal(4), Signal(5)
        empty, gives = drained(m, i, o, self._drains), leaves & o.payload.keep[0]
        m.d.sync += [rows.eq(rows + good - (leaves & o.payload.last)), results.eq(results + Mux(good, Mux(k < size, k, size), 0) - gives)]
        m.d.comb += [
            Assume(k == AnyConst(len(k))),
            Assert(~leaves | (rows != 0), "a packet comes without a row"),
            Assert(~gives | (results != 0), "too many results"),
            Assert(~(leaves & o.payload.last & (rows == 1)) | (results == gives), "too few results"),
            Assert(~empty | (rows == 0), "a row is lost or stuck"),
            Assert(~empty | i.ready, "nothing enters any more"),
            Cover(leaves & o.payload.last & (rows == 1) & (k > 1), "a row gives its results"),
        ]
        return m


@pytest.mark.parametrize(("bits", "drains", "cycles"), [(1, 22, 36)])
def test_gives_all(tmp_path: Path, bits: int, drains: int, cycles: int) -> None:
    block = TopK(Tiny(Format(bits, signed=False)))  # pyright: ignore[reportArgumentType] - a stand-in
    rules = Holds(block.i, assume=True), Holds(block.o), GivesAll(block, most=2, drains=drains)
    Proof(block).check(tmp_path, *rules, depth=cycles, first=cycles)
