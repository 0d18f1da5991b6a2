"""AXI4 as streams, and the read and write gates that keep the bus legal across a reset of the machine.

The machine may be reset at any moment; bursts that the memory has already accepted may not be forgotten. The gates are never
reset with the machine: on ``flush`` they complete what is outstanding, dropping its data, before they let anything new pass.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arbiter import LeastRecent
from .arch.parameters import EXTERNAL_ADDRESS_BITS

SLAVE = "s_axi_"  # prefix of a slave's ports
MAX_BURST_BEATS = 64
OUTSTANDING_BITS = 8  # of the counters of bursts under way
MOST_OUTSTANDING = (1 << OUTSTANDING_BITS) - 3  # further bursts wait, one at most beside it, since it takes a cycle to see

BURST = data.StructLayout({"address": EXTERNAL_ADDRESS_BITS, "len": 8})  # len: beats - 1, as in AxLEN


def read_beat_layout(bus_bytes: int) -> data.StructLayout:
    return data.StructLayout({"data": 8 * bus_bytes, "resp": 2, "last": 1})


def write_beat_layout(bus_bytes: int) -> data.StructLayout:
    return data.StructLayout({"data": 8 * bus_bytes, "strb": bus_bytes, "last": 1})


class ReadBus(wiring.Signature):
    """As seen by the master: bursts out, beats in."""

    def __init__(self, bus_bytes: int) -> None:
        super().__init__({"burst": Out(stream.Signature(BURST)), "beat": In(stream.Signature(read_beat_layout(bus_bytes)))})


class WriteBus(wiring.Signature):
    """As seen by the master: bursts and their beats out, one response (two bits) in for each burst.

    The beats of a burst follow it: the next burst comes after its last beat.
    """

    def __init__(self, bus_bytes: int) -> None:
        super().__init__(
            {
                "burst": Out(stream.Signature(BURST)),
                "beat": Out(stream.Signature(write_beat_layout(bus_bytes))),
                "response": In(stream.Signature(2)),
            }
        )


def axi4_ports(bus_bytes: int, prefix: str = "m_axi_", *, id_bits: int = 1) -> dict[str, wiring.Member]:
    """The flat ports of an AXI4 master; bursts are INCR and of full width."""
    address = {
        **{"id": Out(id_bits), "addr": Out(EXTERNAL_ADDRESS_BITS), "len": Out(8), "size": Out(3), "burst": Out(2)},
        **{"valid": Out(1), "ready": In(1)},
    }
    members = {
        **{f"aw{name}": member for name, member in address.items()},
        **{"wdata": Out(8 * bus_bytes), "wstrb": Out(bus_bytes), "wlast": Out(1), "wvalid": Out(1), "wready": In(1)},
        **{"bid": In(id_bits), "bresp": In(2), "bvalid": In(1), "bready": Out(1)},
        **{f"ar{name}": member for name, member in address.items()},
        **{"rid": In(id_bits), "rdata": In(8 * bus_bytes), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1)},
    }
    return {prefix + name: member for name, member in members.items()}


def slave_ports(bus_bytes: int, prefix: str = SLAVE, *, id_bits: int = 1) -> dict[str, wiring.Member]:
    """The flat ports of an AXI4 slave: axi4_ports from the other side."""
    return {name: member.flip() for name, member in axi4_ports(bus_bytes, prefix, id_bits=id_bits).items()}


class ReadGate(wiring.Component):
    """Joins one or two read masters on one AXI4 port: the master's number is the burst's id. ports: the flat ones.

    Members
    -------
    master<i>: ReadBus, as seen by the gate. flush: forget all bursts. draining: forgotten bursts are outstanding.
    arvalid ... rready: the AXI4 read channels.
    """

    def __init__(self, bus_bytes: int, *, masters: int) -> None:
        self._masters, self._bus_bytes = masters, bus_bytes
        self.ports = {name: m for name, m in axi4_ports(bus_bytes, "").items() if name[:2] == "ar" or name[0] == "r"}
        buses = {f"master{i}": In(ReadBus(bus_bytes)) for i in range(masters)}
        super().__init__({**buses, "flush": In(1), "draining": Out(1), **self.ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        masters = [getattr(self, f"master{i}") for i in range(self._masters)]
        m.submodules.arbiter = arbiter = LeastRecent(self._masters)
        outstanding, room = Signal(OUTSTANDING_BITS), Signal()
        stale = Signal()
        # A burst is held here from the moment it is chosen, so that arvalid never falls before arready.
        opened = (~self.arvalid | self.arready) & ~stale & ~self.flush & room
        accepted, ended = self.arvalid & self.arready, self.rvalid & self.rready & self.rlast
        m.d.comb += [
            arbiter.requests.eq(Cat(*(master.burst.valid & opened for master in masters))),
            self.arsize.eq((self._bus_bytes - 1).bit_length()),
            self.arburst.eq(1),
            self.draining.eq(stale),
        ]
        m.d.sync += [outstanding.eq(outstanding + (arbiter.grant != 0) - ended), room.eq(outstanding < MOST_OUTSTANDING)]
        with m.If(accepted):
            m.d.sync += self.arvalid.eq(0)
        for i, master in enumerate(masters):
            m.d.comb += master.burst.ready.eq(arbiter.grant[i])
            with m.If(arbiter.grant[i]):
                m.d.sync += [
                    self.arvalid.eq(1),
                    self.arid.eq(i),
                    self.araddr.eq(master.burst.payload.address),
                    self.arlen.eq(master.burst.payload.len),
                ]
        with m.If(self.flush & (outstanding != 0)):
            m.d.sync += stale.eq(1)
        with m.Elif(outstanding == 0):
            m.d.sync += stale.eq(0)
        for i, master in enumerate(masters):
            m.d.comb += [
                master.beat.valid.eq(self.rvalid & (self.rid == i) & ~stale),
                master.beat.payload.data.eq(self.rdata),
                master.beat.payload.resp.eq(self.rresp),
                master.beat.payload.last.eq(self.rlast),
            ]
            with m.If(self.rid == i):
                m.d.comb += self.rready.eq(stale | master.beat.ready)
        return m


class WriteGate(wiring.Component):
    """One write master on an AXI4 port. After a flush the beats that a burst still owes are sent with no byte enabled.
    ports: as in ReadGate.

    Members
    -------
    master: WriteBus, as seen by the gate. flush, draining: as in ReadGate. awvalid ... bready: the AXI4 write channels.
    """

    def __init__(self, bus_bytes: int) -> None:
        self._bus_bytes = bus_bytes
        self.ports = {name: m for name, m in axi4_ports(bus_bytes, "").items() if name[:2] == "aw" or name[0] in "wb"}
        super().__init__({"master": In(WriteBus(bus_bytes)), "flush": In(1), "draining": Out(1), **self.ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        master = self.master
        outstanding, room = Signal(OUTSTANDING_BITS), Signal()  # bursts without their response; whether there may be more
        owed, owes = Signal(9), Signal()  # beats of the current burst that have not been taken; whether there are any
        stale = Signal()
        taken, answered = master.burst.valid & master.burst.ready, self.bvalid & self.bready
        # As in ReadGate a beat is held here, so that it stays through a flush.
        w_free = ~self.wvalid | self.wready
        beat_taken = owes & w_free & (stale | master.beat.valid)
        m.d.comb += [
            master.burst.ready.eq((~self.awvalid | self.awready) & ~owes & ~stale & ~self.flush & room),
            self.awsize.eq((self._bus_bytes - 1).bit_length()),
            self.awburst.eq(1),
            self.draining.eq(stale),
            master.beat.ready.eq(owes & w_free & ~stale),
            self.bready.eq(stale | master.response.ready),
            master.response.valid.eq(self.bvalid & ~stale),
            master.response.payload.eq(self.bresp),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += self.awvalid.eq(0)
        with m.If(taken):
            m.d.sync += [
                self.awvalid.eq(1),
                self.awaddr.eq(master.burst.payload.address),
                self.awlen.eq(master.burst.payload.len),
                owed.eq(master.burst.payload.len + 1),
                owes.eq(1),
            ]
        with m.Elif(beat_taken):
            m.d.sync += [owed.eq(owed - 1), owes.eq(owed != 1)]
        with m.If(w_free):
            m.d.sync += [
                self.wvalid.eq(beat_taken),
                self.wdata.eq(master.beat.payload.data),
                self.wstrb.eq(Mux(stale, 0, master.beat.payload.strb)),
                self.wlast.eq(owed == 1),
            ]
        m.d.sync += [outstanding.eq(outstanding + taken - answered), room.eq(outstanding < MOST_OUTSTANDING)]
        with m.If(self.flush & (outstanding != 0)):
            m.d.sync += stale.eq(1)
        with m.Elif(outstanding == 0):
            m.d.sync += stale.eq(0)
        return m
