"""Streams: a typed queue, and the wrapper that gives a fixed-latency datapath the stream rules.

Rules for every stream (docs/architecture.md): valid never waits for ready; valid and payload hold until ready; no
combinational path from an input stream to an output stream's ready or back.
"""

from typing import Any, Protocol

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .places import Places, stays_positive


class Queue(wiring.Component):
    """A FIFO of ``depth`` payloads of ``shape``; ``level`` counts what it holds. From depth 3 on, one in and one out per cycle.

    latency: cycles from an input to its output when empty: 2, or 1 where the output may come from a memory without a register behind it.
    """

    latency = 2  # unless it is asked for otherwise

    def __init__(self, shape: ShapeLike, *, depth: int, latency: int = 2) -> None:
        self.depth, self.latency = depth, latency
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "level": Out(range(depth + 1))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kind = {1: fifo.SyncFIFO, 2: fifo.SyncFIFOBuffered}[self.latency]
        m.submodules.fifo = queue = kind(width=Shape.cast(self._shape).width, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(Value.cast(self.i.payload)),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        if self.latency == 1:  # a register says whether there is any, as a buffered one does
            written, read = self.i.valid & self.i.ready, self.o.valid & self.o.ready
            m.d.sync += self.o.valid.eq(stays_positive(queue.level, more=written, one_less=read))
        else:
            m.d.comb += self.o.valid.eq(queue.r_rdy)
        return m


class Datapath(Protocol):
    """A component that takes ``i`` every cycle and gives its result as ``o``, ``latency`` cycles later; it never stalls."""

    i: Any
    o: Any

    @property
    def latency(self) -> int: ...


class Pipelined(wiring.Component):
    """A datapath between two streams, at full throughput.

    An input is taken only when its result has a place in the output queue, so the datapath needs no enable and ``i.ready``
    comes from a register.
    """

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        shapes = datapath.signature.members  # pyright: ignore[reportAttributeAccessIssue] - a wiring.Component
        self._result_shape = shapes["o"].shape
        super().__init__({"i": In(stream.Signature(shapes["i"].shape)), "o": Out(stream.Signature(self._result_shape))})

    @property
    def latency(self) -> int:
        """Cycles from an input to its output when nothing waits."""
        return self._datapath.latency + Queue.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.datapath = datapath = self._datapath
        depth = datapath.latency + 4
        m.submodules.queue = queue = Queue(self._result_shape, depth=depth)
        places = Places(depth)
        under_way = Signal(datapath.latency)
        taken, given = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.comb += [
            self.i.ready.eq(places.any),
            Value.cast(datapath.i).eq(Value.cast(self.i.payload)),
            Value.cast(queue.i.payload).eq(Value.cast(datapath.o)),
            queue.i.valid.eq(under_way[-1]),
        ]
        m.d.sync += [
            under_way.eq(Cat(taken, under_way)),
            *places.change(taken=taken, given=given),
        ]
        wiring.connect(m, wiring.flipped(self.o), queue.o)
        return m
