"""Proofs of rtl/streams.py and rtl/skid.py for any number of payloads and any stalls, and broken blocks, refuted: `nox -s formal`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.rtl.delay import delay
from celosia.rtl.skid import Skid
from celosia.rtl.streams import Pipelined, Queue
from celosia.tb.formal import Proof, ProofError
from celosia.tb.properties import Holds, Never, Passes
from test_sim_streams import (
    Faulty,
    looks_at_invalid_payload,
    loses_one_when_stalled,
    takes_every_other_cycle,
    takes_valid_back,
)


class Negation(wiring.Component):
    """Its input inverted, ``latency`` cycles later; what it says of its latency can be a lie."""

    def __init__(self, *, latency: int, claimed: int) -> None:
        self.latency, self._latency = claimed, latency
        super().__init__({"i": In(2), "o": Out(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(~delay(m, self.i, self._latency))
        return m


@pytest.mark.parametrize(("depth", "latency"), [(2, 2), (3, 2), (8, 2), (2, 1), (5, 1)])
def test_queue(tmp_path: Path, depth: int, latency: int) -> None:
    queue = Queue(2, depth=depth, latency=latency)
    rules = Holds(queue.i, assume=True), Holds(queue.o), Passes(queue.i, queue.o, capacity=depth, drains=depth + latency)
    Proof(queue).check(tmp_path, *rules)


def test_skid(tmp_path: Path) -> None:
    skid = Skid(2)
    rules = Holds(skid.i, assume=True), Holds(skid.o), Passes(skid.i, skid.o, capacity=2, drains=4)
    Proof(skid).check(tmp_path, *rules)


def prove_pipelined(folder: Path, *, latency: int, claimed: int) -> None:
    block = Pipelined(Negation(latency=latency, claimed=claimed))
    proof = Proof(block)
    queue = proof["queue"]
    capacity = queue.depth
    passes = Passes(block.i, block.o, capacity=capacity, drains=capacity + block.latency, result=lambda payload: ~payload)
    overflow = Never(queue.i.valid & ~queue.i.ready, "the queue overflows")
    proof.check(folder, Holds(block.i, assume=True), Holds(block.o), passes, overflow)


@pytest.mark.parametrize("latency", [1, 3])
def test_pipelined(tmp_path: Path, latency: int) -> None:
    prove_pipelined(tmp_path, latency=latency, claimed=latency)


def test_wrong_latency_is_refuted(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="fails: another payload leaves than entered"):
        prove_pipelined(tmp_path, latency=2, claimed=1)


def keeps_the_last(m: Module, block: Faulty, queue: Queue) -> None:
    more = queue.level > 1
    m.d.comb += [block.o.valid.eq(queue.o.valid & more), queue.o.ready.eq(block.o.ready & more)]


def swaps_two(m: Module, block: Faulty, queue: Queue) -> None:
    odd, kept = Signal(), Signal(len(Value.cast(block.i.payload)))
    with m.If(block.i.valid & block.i.ready):
        m.d.sync += [odd.eq(~odd), kept.eq(block.i.payload)]
    m.d.comb += queue.i.payload.eq(kept)


def invents(m: Module, block: Faulty, queue: Queue) -> None:
    m.d.comb += block.o.valid.eq(1)


def fills_up(m: Module, block: Faulty, queue: Queue) -> None:
    m.d.comb += [block.i.ready.eq(1), queue.i.valid.eq(block.i.valid)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (takes_valid_back, "fails: o__valid is taken back"),
        (loses_one_when_stalled, "fails: more enter than the capacity|fails: the queue overflows"),
        (fills_up, "fails: the queue overflows"),
        (takes_every_other_cycle, "fails: nothing enters any more"),
        (invents, "fails: an output comes without an input"),
        (looks_at_invalid_payload, "fails: another payload leaves than entered"),
        (swaps_two, "fails: another payload leaves than entered"),
        (keeps_the_last, "fails: something is lost or stuck"),
    ],
)
def test_broken_rule_is_refuted(tmp_path: Path, fault: Callable[[Module, Faulty, Queue], None], message: str) -> None:
    block = Faulty(fault)
    proof = Proof(block)
    queue = proof["queue"]
    overflow = Never(queue.i.valid & ~queue.i.ready & block.i.ready, "the queue overflows")
    with pytest.raises(ProofError, match=message):
        proof.check(tmp_path, Holds(block.i, assume=True), Holds(block.o), Passes(block.i, block.o, capacity=4, drains=8), overflow)


def test_too_large_a_capacity_is_never_reached(tmp_path: Path) -> None:
    queue = Queue(2, depth=3)
    with pytest.raises(ProofError, match=r"^never reached: the capacity is used \(traces in"):
        Proof(queue).check(tmp_path, Passes(queue.i, queue.o, capacity=4, drains=6), depth=8)
