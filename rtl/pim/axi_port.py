"""Ordinary traffic: an AXI4 slave whose beats are columns of the DRAM."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..arch.dram import Command, Dram
from ..arch.parameters import EXTERNAL_ADDRESS_BITS
from ..axi import axi4_ports
from ..select import select_one_hot
from ..streams import Queue
from .layouts import operation_layout, read_layout, write_layout

PREFIX = "s_axi_"
READS_UNDER_WAY = 64  # beats
_OKAY, _SLVERR, _INCR = 0, 2, 1


def place_layout(dram: Dram) -> data.StructLayout:
    """What the bits of a byte's address mean, from the lowest one on: beats that follow each other go to different channels."""
    return data.StructLayout(
        {
            "byte": exact_log2(dram.column_bytes),
            "channel": exact_log2(dram.channels),
            "column": exact_log2(dram.columns),
            "bank": exact_log2(dram.banks),
            "row": exact_log2(dram.rows),
        }
    )


class AxiPort(wiring.Component):
    """Members
    -------
    s_axi_*: AXI4 slave; bursts are INCR and of full width, others and those beyond the DRAM are answered with SLVERR, as is what the DRAM
    gives no data for. A write's response comes when all that follows sees it. operations<n>, write<n>, read<n>: `ordinary` of channel n.
    idle: no burst is under way, but for what the channels still write.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        self._flat = axi4_ports(dram.column_bytes, "")
        streams = {"operations": Out(operation_layout(dram)), "write": Out(write_layout(dram)), "read": In(read_layout(dram))}
        super().__init__(
            {
                **{f"{PREFIX}{name}": member.flip() for name, member in self._flat.items()},
                **{
                    f"{name}{channel}": wiring.Member(member.flow, stream.Signature(member.shape))
                    for channel in range(dram.channels)
                    for name, member in streams.items()
                },
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.dram
        axi = {name: getattr(self, f"{PREFIX}{name}") for name in self._flat}
        channels = range(d.channels)
        answer = data.StructLayout({"id": 1, "resp": 2})
        m.submodules.order = order = Queue(
            data.StructLayout({"channel": range(d.channels), "id": 1, "last": 1, "refused": 1}), depth=READS_UNDER_WAY
        )
        m.submodules.responses = responses = Queue(answer, depth=4)

        # A burst, read or write, one after the other: those of both kinds take turns
        burst = Signal(data.StructLayout({"address": EXTERNAL_ADDRESS_BITS, "len": 8, "id": 1, "writes": 1, "refused": 1}))
        active, beat_done = Signal(), Signal()
        takes_write = axi["awvalid"] & (~axi["arvalid"] | ~burst.writes)
        asked = {name: Mux(takes_write, axi[f"aw{name}"], axi[f"ar{name}"]) for name in ("addr", "len", "size", "burst", "id")}
        bytes_shift = exact_log2(d.column_bytes)
        end = (asked["addr"] >> bytes_shift) + asked["len"]
        whole = (asked["size"] == bytes_shift) & (asked["burst"] == _INCR)
        m.d.comb += [axi["awready"].eq(~active & takes_write), axi["arready"].eq(~active & ~takes_write)]
        with m.If(~active & (axi["awvalid"] | axi["arvalid"])):
            m.d.sync += [
                active.eq(1),
                burst.address.eq(asked["addr"]),
                burst.len.eq(asked["len"]),
                burst.id.eq(asked["id"]),
                burst.writes.eq(takes_write),
                burst.refused.eq(~whole | (end >= d.channels * d.channel_bytes // d.column_bytes)),
            ]
        with m.Elif(beat_done):
            m.d.sync += [burst.address.eq(burst.address + d.column_bytes), burst.len.eq(burst.len - 1), active.eq(burst.len != 0)]

        # Its beats: an operation each, with the data of a write
        place = data.View(place_layout(d), Value.cast(burst.address)[: place_layout(d).size])
        operations, writes, reads = (
            [getattr(self, f"{name}{channel}") for channel in channels] for name in ("operations", "write", "read")
        )
        here = Cat(place.channel == channel for channel in channels)
        has_place = (here & Cat(port.ready for port in operations)).any() | burst.refused
        takes_data = (here & Cat(port.ready for port in writes)).any() | burst.refused
        last = burst.len == 0
        can_write = axi["wvalid"] & takes_data & (responses.i.ready | ~last)
        goes = active & Mux(burst.writes, can_write, order.i.ready)  # but for the operation's place
        m.d.comb += [
            beat_done.eq(goes & has_place),
            axi["wready"].eq(active & burst.writes & takes_data & (responses.i.ready | ~last) & has_place),
            order.i.valid.eq(active & ~burst.writes & has_place),
            order.i.payload.eq(Cat(place.channel, burst.id, last, burst.refused)),
            responses.i.valid.eq(beat_done & burst.writes & last),
            responses.i.payload.eq(Cat(burst.id, Mux(burst.refused, _SLVERR, _OKAY))),
        ]
        for channel in channels:
            operation, moves = operations[channel].payload, goes & here[channel] & ~burst.refused
            m.d.comb += [
                operations[channel].valid.eq(moves),
                operation.command.eq(Mux(burst.writes, Command.WR, Command.RD)),
                *(operation[name].eq(place[name]) for name in ("bank", "row", "column")),
                operation.count.eq(1),
                writes[channel].valid.eq(moves & burst.writes & has_place),
                writes[channel].payload.data.eq(axi["wdata"]),
                writes[channel].payload.mask.eq(~axi["wstrb"]),
            ]

        # Answers
        waits = order.o.payload
        given = Cat((waits.channel == channel) & order.o.valid & ~waits.refused for channel in channels)
        arrived = data.View(read_layout(d), select_one_hot(given, [Value.cast(port.payload) for port in reads]))
        m.d.comb += [
            axi["rvalid"].eq(order.o.valid & (waits.refused | (given & Cat(port.valid for port in reads)).any())),
            axi["rdata"].eq(arrived.data),
            axi["rresp"].eq(Mux(waits.refused | arrived.missing, _SLVERR, _OKAY)),
            axi["rid"].eq(waits.id),
            axi["rlast"].eq(waits.last),
            order.o.ready.eq(axi["rvalid"] & axi["rready"]),
            *(port.ready.eq(given[channel] & axi["rready"]) for channel, port in enumerate(reads)),
            axi["bvalid"].eq(responses.o.valid),
            axi["bid"].eq(responses.o.payload.id),
            axi["bresp"].eq(responses.o.payload.resp),
            responses.o.ready.eq(axi["bready"]),
            self.idle.eq(~(active | order.o.valid | responses.o.valid)),
        ]
        return m
