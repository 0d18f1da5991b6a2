"""A memory of running totals, each read, changed and written back in a pipeline."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .delay import delay


class Accumulators(wiring.Component):
    """``totals = update(before, operand, lane)`` of each lane at an address, `latency` cycles later, where ``before`` is what
    ``prepare(total, operand, lane)`` makes of the total there, or zero with ``first``. Prepare has a cycle for itself, less the
    memory's time.

    The total is back in the memory for an access `DISTANCE` cycles later; `recently` says which addresses come too soon.

    Members
    -------
    address, first, operand: looked at in cycles with ``valid``. totals: of all lanes.
    """

    latency = 3

    def __init__(
        self,
        total: Shape,
        operand: ShapeLike,
        update: Callable[[Value, data.View, int], Value],
        *,
        lanes: int,
        depth: int,
        prepare: Callable[[Value, data.View, int], Value] = lambda total, operand, lane: total,
    ) -> None:
        self._update, self._prepare, self._depth, self._lanes = update, prepare, depth, lanes
        super().__init__(
            {
                "address": In(ceil_log2(depth)),
                "first": In(1),
                "operand": In(operand),
                "valid": In(1),
                "totals": Out(data.ArrayLayout(total, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.totals.shape()
        m.submodules.memory = words = memory.Memory(shape=shape, depth=self._depth, init=[])
        read, write = words.read_port(), words.write_port()
        before = Signal(shape, reset_less=True)
        operand_1 = Signal.like(self.operand, reset_less=True)
        operand_2 = Signal.like(self.operand, reset_less=True)
        first_1 = Signal(reset_less=True)
        totals = Signal(shape, reset_less=True)
        m.d.sync += [
            operand_1.eq(self.operand),
            operand_2.eq(operand_1),
            first_1.eq(self.first),
            # a register soon, since blocks are slow
            *(before[lane].eq(Mux(first_1, 0, self._prepare(read.data[lane], operand_1, lane))) for lane in range(self._lanes)),
        ]
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(delay(m, self.address, self.latency)),
            write.en.eq(delay(m, self.valid, self.latency, reset_less=False)),
            write.data.eq(totals),
            self.totals.eq(totals),
        ]
        for lane in range(self._lanes):
            m.d.sync += totals[lane].eq(self._update(before[lane], operand_2, lane))
        return m


DISTANCE = 4


def recently(m: Module, address: Value, taken: Value) -> Value:
    """Whether ``address`` was taken in one of the last DISTANCE - 1 cycles."""
    found, before, valid = [], address, taken
    for _ in range(DISTANCE - 1):
        later, was = Signal.like(address, name="taken_address", reset_less=True), Signal(name="taken")
        m.d.sync += [later.eq(before), was.eq(valid)]
        found.append(was & (later == address))
        before, valid = later, was
    return Cat(*found).any()
