"""Proof of a link (rtl/link.py) for any steps that keep to its rules, for ever, and broken links, refuted: `nox -s formal`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from celosia.rtl.banks import READ_LATENCY
from celosia.rtl.delay import delay
from celosia.rtl.link import LinkMemory
from celosia.tb.formal import Proof, ProofError

WORDS = 4
WORD_BYTES = 2


class Links(Elaboratable):
    """What a link promises to a writer and a reader that keep to its rules.

    One position, chosen freely, is followed: the lowest bit of each of its bytes.
    """

    def __init__(self, link: Any) -> None:
        self._link = link

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        filled, first_filled, first_free = Signal(range(WORDS + 1)), Signal(range(WORDS)), Signal(range(WORDS))
        written, count = Signal(WORDS), Signal(range(WORDS + 1))  # by the step under way: which positions, and how many
        at = AnyConst(len(first_free))

        def among(position: Value, first: Value, count: Value) -> Value:
            return (position - first)[: len(first)] < count

        begins, place = link.write_granted & link.write_mask[0], 1 << link.write_position
        size, before, under_way = AnySeq(len(count)), Signal.like(count), Signal()  # the words of a step
        frees = Signal(len(link.read_frees))
        number = (count + begins)[: len(count)]
        fills = link.write_granted & link.write_last
        free = Signal.like(filled)
        m.d.comb += [
            frees.eq(Mux(link.read_granted, link.read_frees, 0)),
            free.eq(WORDS - filled),
            # A step writes words from the first free one on, the lowest byte of each once.
            Assume(~under_way | (size == before)),
            Assume(~link.write_granted | among(link.write_position, first_free, size)),
            Assume(~begins | ~(written & place).any()),
            Assume(~fills | (number == size)),
        ]
        with m.If(fills):
            m.d.sync += [under_way.eq(0), written.eq(0), count.eq(0), first_free.eq(first_free + number)]
        with m.Elif(link.write_granted):
            m.d.sync += [under_way.eq(1), before.eq(size), written.eq(Mux(begins, written | place, written)), count.eq(number)]
        m.d.sync += [filled.eq(filled + Mux(fills, number, 0) - frees), first_filled.eq(first_filled + frees)]

        is_filled, may_write = among(link.read_position, first_filled, filled), among(link.write_position, first_free, free)
        may_read = (link.read_absent | is_filled) & (link.read_frees <= filled)
        reads, writes = link.read_granted & (link.read_position == at), link.write_granted & (link.write_position == at)
        m.d.comb += [
            Assert(~link.read_granted | link.read_absent | is_filled, "a word is read that is not filled"),
            Assert(frees <= filled, "a word becomes free that is not filled"),
            Assert(~link.write_granted | may_write, "a word is written that is not free"),
            Assert(filled <= WORDS, "more is filled than there is"),
            Assert(~(link.read_granted & ~link.read_asked) & ~(link.write_granted & ~link.write_asked), "what is not asked is granted"),
            Assert(~(link.read_asked & may_read) | link.read_granted, "a filled word is waited for"),
            Assert(~(link.write_asked & may_write) | link.write_granted, "a free word is waited for"),
            Cover((filled == WORDS) & link.write_asked, "all is filled"),
            Cover(reads & (filled == 1) & (first_free == 1) & (frees == 1), "a word is read after the ring's end"),
        ]
        for octet in range(WORD_BYTES):
            bit, known = Signal(name=f"bit{octet}"), Signal(name=f"known{octet}")
            with m.If(writes & link.write_mask[octet]):
                m.d.sync += [bit.eq(link.write_word[8 * octet]), known.eq(1)]
            comes = delay(m, reads & known & ~link.read_absent, READ_LATENCY, reset_less=False)
            found, wanted = link.read_word[8 * octet], delay(m, bit, READ_LATENCY)
            m.d.comb += Assert(~comes | (found == wanted), "another word is read than was written")
        return m


def prove(folder: Path, link: wiring.Component) -> None:
    Proof(link).check(folder, Links(link), depth=10)


def test_link(tmp_path: Path) -> None:
    prove(tmp_path, LinkMemory(words=WORDS, word_bytes=WORD_BYTES))


class Broken(wiring.Component):
    """A link behind something that changes what it is asked."""

    def __init__(self, fault: Callable[[Module, Any, Any], None]) -> None:
        self._fault, self._link = fault, LinkMemory(words=WORDS, word_bytes=WORD_BYTES)
        super().__init__(self._link.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.link = link = self._link
        connect(m, flipped(self), link)
        self._fault(m, self, link)
        return m


def fills_word_by_word(m: Module, asked: Any, link: Any) -> None:
    m.d.comb += link.write_last.eq(1)


def counts_parts(m: Module, asked: Any, link: Any) -> None:
    m.d.comb += link.write_mask[0].eq(1)


def writes_whole_words(m: Module, asked: Any, link: Any) -> None:
    with m.If(asked.write_mask[0]):
        m.d.comb += link.write_mask[1].eq(1)


def reads_at_once(m: Module, asked: Any, link: Any) -> None:
    m.d.comb += link.read_absent.eq(1)


def frees_nothing(m: Module, asked: Any, link: Any) -> None:
    m.d.comb += link.read_frees.eq(0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (fills_word_by_word, "fails: a word is read that is not filled|fails: a word becomes free that is not filled"),
        (counts_parts, "fails: a word is read that is not filled|fails: a free word is waited for"),
        (writes_whole_words, "fails: another word is read than was written"),
        (reads_at_once, "fails: a word is read that is not filled"),
        (frees_nothing, "fails: a free word is waited for|fails: a word becomes free that is not filled"),
    ],
)
def test_a_broken_link_is_refuted(tmp_path: Path, fault: Callable[[Module, Any, Any], None], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        prove(tmp_path, Broken(fault))
