"""The PIM controller: macro instructions and ordinary traffic to the commands of a DRAM whose banks multiply and add."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..arch.dram import Dram
from ..arch.pim import MACRO, PimError
from ..axi import slave_ports
from ..flat_ports import connect_ports
from ..layouts import record_layout
from ..streams import Queue
from .axi_port import PREFIX, AxiPort
from .channel import Channel
from .layouts import CHANNEL_BITS, Dfi
from .macros import ROUTE, MacroExpander
from .routes import ReadRoutes, WriteRoutes

ROUTES = 32  # macros ahead of their data: reads of single columns follow each other while the first one's is on its way


def outside_ports(dram: Dram) -> dict[str, wiring.Member]:
    """Of the controller, as it is seen from outside: the AXI4 slave for ordinary traffic, and the pins of each channel."""
    return {**slave_ports(dram.column_bytes, PREFIX), **{f"dfi{channel}": Out(Dfi(dram)) for channel in range(dram.channels)}}


def join_outside(m: Module, dram: Dram, inner: wiring.Component, outer: wiring.Component) -> None:
    """Connect these of a component to those of the one that it is in."""
    ports = outside_ports(dram)
    connect_ports(m, {name: member for name, member in ports.items() if member.is_port}, outer, inner)
    for name in (name for name, member in ports.items() if member.is_signature):
        connect(m, getattr(inner, name), flipped(getattr(outer, name)))


class PimController(wiring.Component):
    """Members
    -------
    macros: `MACRO` (rtl/arch/pim.py). write, read: their data, columns of `column_bytes` bytes, the lowest one first. s_axi_*: AXI4 slave
    for ordinary traffic (rtl/pim/axi_port.py). dfi<n>: the pins of channel n. idle: nothing is under way. error, error_macro,
    error_channel: see PimError; the number of the macro counts from the last ``clear``, which forgets the error. A macro with an error,
    and those behind it, do nothing.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        column = stream.Signature(8 * dram.column_bytes)
        super().__init__(
            {
                "macros": In(stream.Signature(record_layout(MACRO))),
                "write": In(column),
                "read": Out(column),
                "clear": In(1),
                "error": Out(range(max(PimError) + 1)),
                "error_macro": Out(32),
                "error_channel": Out(CHANNEL_BITS),
                "idle": Out(1),
                **outside_ports(dram),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.dram
        m.submodules.expander = expander = MacroExpander(d)
        m.submodules.write_queue = write_queue = Queue(ROUTE, depth=ROUTES)
        m.submodules.read_queue = read_queue = Queue(ROUTE, depth=ROUTES)
        m.submodules.write_routes = writes = WriteRoutes(d)
        m.submodules.read_routes = reads = ReadRoutes(d)
        connect(m, flipped(self.macros), expander.macros)
        for queue, source, sink in (write_queue, expander.writes, writes.routes), (read_queue, expander.reads, reads.routes):
            connect(m, source, queue.i)
            connect(m, queue.o, sink)
        connect(m, flipped(self.write), writes.i)
        connect(m, reads.o, flipped(self.read))

        m.submodules.axi_port = port = AxiPort(d)
        connect_ports(m, slave_ports(d.column_bytes, PREFIX), self, port)

        given, idle = Signal(d.channels), Signal(d.channels)  # given: the channels that have this operation
        operations, ready = expander.operations, Signal(d.channels)
        missing = operations.payload.channels & ~given
        m.d.comb += operations.ready.eq((missing & ~ready) == 0)
        m.d.sync += given.eq(given | (missing & ready & operations.valid.replicate(d.channels)))
        with m.If(operations.valid & operations.ready):
            m.d.sync += given.eq(0)
        for i in range(d.channels):
            m.submodules[f"channel{i}"] = channel = Channel(d)
            connect(m, channel.dfi, flipped(getattr(self, f"dfi{i}")))
            connect(m, getattr(port, f"operations{i}"), channel.ordinary)
            connect(m, getattr(port, f"write{i}"), channel.ordinary_write)
            connect(m, channel.ordinary_read, getattr(port, f"read{i}"))
            connect(m, getattr(writes, f"o{i}"), channel.macros_write)
            connect(m, channel.macros_read, getattr(reads, f"i{i}"))
            m.d.comb += [
                channel.macros.valid.eq(operations.valid & missing[i]),
                channel.macros.payload.eq(operations.payload.operation),
                ready[i].eq(channel.macros.ready),
                idle[i].eq(channel.idle),
            ]
        under_way = Cat(expander.busy, write_queue.o.valid, read_queue.o.valid, writes.busy, reads.busy, ~port.idle)
        m.d.comb += [
            expander.clear.eq(self.clear),
            expander.no_data.eq(reads.missing),
            expander.no_data_channel.eq(reads.missing_channel),
            self.error.eq(expander.error),
            self.error_macro.eq(expander.error_macro),
            self.error_channel.eq(expander.error_channel),
            self.idle.eq(~under_way.any() & idle.all()),
        ]
        return m
