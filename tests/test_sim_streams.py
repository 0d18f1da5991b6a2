"""The checker of the stream rules, on blocks that keep them and on blocks that break one each."""

from collections.abc import Callable

import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from celosia.rtl.streams import Queue
from celosia.tb.paths import combinational_paths, stream_path_faults
from celosia.tb.runner import BenchError, run_bench

BITS = 12
BENCH = "celosia.tb.test_queue"


class Faulty(wiring.Component):
    """A queue between two streams, whose connections ``fault(m, self, queue)`` overrides."""

    def __init__(self, fault: Callable[[Module, "Faulty", Queue], None]) -> None:
        self._fault = fault
        super().__init__({"i": In(stream.Signature(BITS)), "o": Out(stream.Signature(BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(BITS, depth=4)
        m.d.comb += [
            queue.i.payload.eq(self.i.payload),
            queue.i.valid.eq(self.i.valid),
            self.i.ready.eq(queue.i.ready),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
        ]
        self._fault(m, self, queue)
        return m


def waits_for_ready(m: Module, block: Faulty, queue: Queue) -> None:
    m.d.comb += block.o.valid.eq(queue.o.valid & block.o.ready)


def takes_valid_back(m: Module, block: Faulty, queue: Queue) -> None:
    waited = Signal()
    m.d.sync += waited.eq(block.o.valid & ~block.o.ready)
    m.d.comb += [block.o.valid.eq(queue.o.valid & ~waited), queue.o.ready.eq(block.o.ready & ~waited)]


def changes_payload(m: Module, block: Faulty, queue: Queue) -> None:
    waited = Signal()
    m.d.sync += waited.eq(block.o.valid & ~block.o.ready)
    m.d.comb += block.o.payload.eq(Value.cast(queue.o.payload) ^ waited)


def loses_one_when_stalled(m: Module, block: Faulty, queue: Queue) -> None:
    full = Signal()
    m.d.sync += full.eq(~queue.i.ready)
    m.d.comb += [block.i.ready.eq(queue.i.ready | ~full)]


def takes_every_other_cycle(m: Module, block: Faulty, queue: Queue) -> None:
    phase = Signal()
    m.d.sync += phase.eq(~phase)
    m.d.comb += [block.i.ready.eq(queue.i.ready & phase), queue.i.valid.eq(block.i.valid & phase)]


def gives_one_too_many(m: Module, block: Faulty, queue: Queue) -> None:
    count = Signal(7)
    with m.If(queue.o.valid & block.o.ready):
        m.d.sync += count.eq(count + 1)
    with m.If(count == 100):
        m.d.comb += block.o.valid.eq(1)


def looks_at_invalid_payload(m: Module, block: Faulty, queue: Queue) -> None:
    before = Signal(BITS)
    m.d.sync += before.eq(block.i.payload)
    m.d.comb += queue.i.payload.eq(Value.cast(block.i.payload) ^ (before[0] & ~queue.o.valid))


@pytest.mark.parametrize("latency", [1, 2])
def test_queue(latency: int) -> None:
    run_bench(Queue(BITS, depth=4, latency=latency), BENCH, {"bits": BITS})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (waits_for_ready, "lazy=True.*outputs are missing: {'o': 100}"),
        (takes_valid_back, "o: valid was taken back before ready"),
        (changes_payload, "o: payload changed before ready"),
        (loses_one_when_stalled, "outputs are missing|o: payload .* is 0x.*, not 0x"),
        (takes_every_other_cycle, "without stalls: cycles lost between the first and the last transfer: {'i': 99, 'o': 99}"),
        (gives_one_too_many, "without stalls: o: 11. payloads came, not 100"),
        (looks_at_invalid_payload, "o: payload .* is 0x.*, not 0x"),
    ],
)
def test_broken_rule_is_found(fault: Callable[[Module, Faulty, Queue], None], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        run_bench(Faulty(fault), BENCH, {"bits": BITS})


def test_missing_bench() -> None:
    with pytest.raises(BenchError, match=r"the simulator ended without results|no_such_bench"):
        run_bench(Queue(BITS, depth=2), "celosia.tb.no_such_bench")


def wire(m: Module, block: Faulty, queue: Queue) -> None:
    m.d.comb += [block.i.ready.eq(block.o.ready), block.o.payload.eq(block.i.payload), block.o.valid.eq(block.i.valid)]


def test_paths() -> None:
    assert combinational_paths(Queue(BITS, depth=4)) == set()
    assert stream_path_faults(Queue(BITS, depth=4)) == []
    assert combinational_paths(Faulty(wire)) == {("i__payload", "o__payload"), ("i__valid", "o__valid"), ("o__ready", "i__ready")}
    assert stream_path_faults(Faulty(wire)) == [
        "i__ready depends on o__ready",
        "o__payload depends on i__payload",
        "o__valid depends on i__valid",
    ]
    assert stream_path_faults(Faulty(waits_for_ready)) == ["o__valid depends on o__ready"]
    assert stream_path_faults(Faulty(takes_every_other_cycle)) == []
