"""A channel's controller: operations of two sources and their data, to the pins."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from ..arch.dram import Dram
from ..delay import delay
from ..places import Places, stays_positive
from ..streams import Queue
from .layouts import Dfi, operation_layout, read_layout, write_layout
from .scheduler import Scheduler

WRITE_DEPTH = 16  # bursts that wait for their command


class Channel(wiring.Component):
    """Members
    -------
    macros, ordinary: the two sources of operations, `operation_layout`; each with the bursts that it writes and those that it reads, in
    its order. dfi: to the DRAM. idle: nothing is under way.
    """

    PATIENCE = 64  # cycles after which ordinary operations go first
    BATCH = 8  # ordinary operations that then go

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        operations, write, read = (stream.Signature(layout(dram)) for layout in (operation_layout, write_layout, read_layout))
        members = {}
        for source in ("macros", "ordinary"):
            members |= {source: In(operations), f"{source}_write": In(write), f"{source}_read": Out(read)}
        super().__init__({**members, "dfi": Out(Dfi(dram)), "idle": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        t, dfi = self.dram.timing, self.dfi
        m.submodules.scheduler = scheduler = Scheduler(self.dram)
        m.d.comb += dfi.command.eq(scheduler.pins)
        self._merge(m, scheduler.operations)

        # From the cycle before a command to its data
        writes, reads = scheduler.writes, scheduler.reads
        sources, whose = ("macros", "ordinary"), Cat(~scheduler.ordinary, scheduler.ordinary)
        pops = delay(m, Mux(writes, whose, 0), t.cwl + 1, reset_less=False)
        arrives = delay(m, Mux(reads, whose, 0), t.cl + 1, reset_less=False)
        depth = 1 << ceil_log2(t.cl // t.ccd_s + 4)
        moving = []
        for i, source in enumerate(sources):
            port = getattr(self, f"{source}_write")
            m.submodules[f"{source}_written"] = queue = Queue(write_layout(self.dram), depth=WRITE_DEPTH)
            connect(m, flipped(port), queue.i)
            moving.append(queue.level != 0)
            bursts, burst = Mux(port.payload.scatters, self.dram.banks, 1), queue.o.payload
            waiting = Signal(range(WRITE_DEPTH * self.dram.banks + 1), name=f"{source}_waiting")  # bursts that no command is given for
            arrived, written = port.valid & port.ready, writes & whose[i]
            m.d.sync += [
                waiting.eq(waiting + Mux(arrived, bursts, 0) - written),
                scheduler.may_write[i].eq(stays_positive(waiting, more=arrived, one_less=written)),
            ]
            bank = Signal(range(self.dram.banks), name=f"{source}_bank")  # of what is scattered
            with m.If(pops[i]):
                byte = burst.data.word_select(bank, 8)
                m.d.comb += [
                    dfi.write_data.eq(Mux(burst.scatters, byte.replicate(self.dram.column_bytes), burst.data)),
                    dfi.write_mask.eq(Mux(burst.scatters, ~(1 << burst.lane), burst.mask)),
                    queue.o.ready.eq(~burst.scatters | (bank == self.dram.banks - 1)),
                ]
                m.d.sync += bank.eq(Mux(queue.o.ready, 0, bank + 1))

            m.submodules[f"{source}_arrived"] = queue = Queue(read_layout(self.dram), depth=depth)
            connect(m, queue.o, flipped(getattr(self, f"{source}_read")))
            places = Places(depth)
            m.d.sync += places.change(taken=reads & whose[i], given=queue.o.valid & queue.o.ready)
            m.d.comb += [
                scheduler.may_read[i].eq(places.any),
                queue.i.valid.eq(arrives[i]),
                queue.i.payload.data.eq(dfi.read_data),
                queue.i.payload.missing.eq(~dfi.read_valid),
            ]
            moving.append(places.left != depth)
        m.d.comb += self.idle.eq(~(Cat(moving).any() | scheduler.busy))
        return m

    def _merge(self, m: Module, operations: stream.Interface) -> None:
        """Those of macros first, but ordinary ones when none are there, or after a while."""
        waited, batch, first = Signal(range(self.PATIENCE + 1)), Signal(range(self.BATCH + 1)), Signal()  # first: a batch is left
        ordinary = self.ordinary.valid & (~self.macros.valid | first)
        taken = operations.valid & operations.ready
        m.d.comb += [
            operations.valid.eq(self.ordinary.valid | self.macros.valid),
            operations.payload.eq(Mux(ordinary, self.ordinary.payload, self.macros.payload)),
            operations.payload.ordinary.eq(ordinary),
            self.ordinary.ready.eq(ordinary & operations.ready),
            self.macros.ready.eq(~ordinary & operations.ready),
        ]
        with m.If(~self.ordinary.valid):
            m.d.sync += [waited.eq(0), batch.eq(0), first.eq(0)]
        with m.Elif(taken & ordinary):
            m.d.sync += [waited.eq(0), batch.eq(Mux(first, batch - 1, 0)), first.eq(batch > 1)]
        with m.Elif(waited == self.PATIENCE):
            m.d.sync += [batch.eq(Mux(first, batch, self.BATCH)), first.eq(1)]
        with m.Else():
            m.d.sync += waited.eq(waited + 1)
