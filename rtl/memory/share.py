"""Several AXI4 masters on one slave."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.utils import ceil_log2

from ..arbiter import LeastRecent
from ..arch.checks import require
from ..axi import axi4_ports, slave_ports

ID_BITS = 1  # of a master's ids
_ADDRESS = ("addr", "len", "size", "burst")


def shared_id_bits(masters: int) -> int:
    """Of the slave's ids: a master's own, and above it the master's number."""
    return ID_BITS + ceil_log2(masters)


class Share(wiring.Component):
    """Bursts of each master get their turn, the one whose last turn is longest ago first, those of reads and those of writes. Answers find
    their way by the ids, in any order of the masters. A write comes after the data of the one before: a master whose data does not come
    holds up the others' writes, not their reads.

    Members
    -------
    s<i>_axi_*: slave of master i. m_axi_*: master, with ids of `shared_id_bits`.
    """

    def __init__(self, bus_bytes: int, *, masters: int = 2) -> None:
        require(masters >= 2, "masters", "at least 2", masters)
        self._masters, self._id_bits = masters, shared_id_bits(masters)
        sides = {name: member for i in range(masters) for name, member in slave_ports(bus_bytes, f"s{i}_axi_").items()}
        super().__init__({**sides, **axi4_ports(bus_bytes, id_bits=self._id_bits)})

    def _sides(self, name: str) -> list[Signal]:
        return [getattr(self, f"s{i}_axi_{name}") for i in range(self._masters)]

    def _arbitrate(self, m: Module, channel: str, allowed: Value) -> Signal:
        """Bursts of an address channel, one at a time while allowed. Returns the grant, one-hot."""
        m.submodules[f"{channel}_arbiter"] = arbiter = LeastRecent(self._masters)
        # Held here from when it is chosen, so that it stays until the slave takes it.
        held = {name: getattr(self, f"m_axi_{channel}{name}") for name in ("valid", "ready", "id", *_ADDRESS)}
        free = (~held["valid"] | held["ready"]) & allowed
        m.d.comb += arbiter.requests.eq(Cat(self._sides(f"{channel}valid")) & free.replicate(self._masters))
        with m.If(held["ready"]):
            m.d.sync += held["valid"].eq(0)
        for i in range(self._masters):
            m.d.comb += self._sides(f"{channel}ready")[i].eq(arbiter.grant[i])
            with m.If(arbiter.grant[i]):
                m.d.sync += [
                    *(held["valid"].eq(1), held["id"].eq(Cat(self._sides(f"{channel}id")[i], Const(i, self._id_bits - ID_BITS)))),
                    *(held[name].eq(self._sides(f"{channel}{name}")[i]) for name in _ADDRESS),
                ]
        return arbiter.grant

    def elaborate(self, platform: object) -> Module:
        m = Module()
        everyone = range(self._masters)
        self._arbitrate(m, "ar", Const(1))
        owner, owed = Signal(self._masters), Signal()  # whose write's data is under way; whether there is any
        grant = self._arbitrate(m, "aw", ~owed)
        with m.If(grant.any()):
            m.d.sync += [owner.eq(grant), owed.eq(1)]
        with m.Elif(self.m_axi_wvalid & self.m_axi_wready & self.m_axi_wlast):
            m.d.sync += owed.eq(0)
        for i in everyone:
            with m.If(owner[i]):
                m.d.comb += [
                    *(getattr(self, f"m_axi_w{name}").eq(self._sides(f"w{name}")[i]) for name in ("data", "strb", "last")),
                    *(self.m_axi_wvalid.eq(self._sides("wvalid")[i] & owed), self._sides("wready")[i].eq(self.m_axi_wready & owed)),
                ]
        for channel, names in {"r": ("data", "resp", "last"), "b": ("resp",)}.items():
            number = getattr(self, f"m_axi_{channel}id")[ID_BITS:]
            valid, ready = (getattr(self, f"m_axi_{channel}{name}") for name in ("valid", "ready"))
            for i in everyone:
                m.d.comb += [
                    *(self._sides(f"{channel}{name}")[i].eq(getattr(self, f"m_axi_{channel}{name}")) for name in ("id", *names)),
                    self._sides(f"{channel}valid")[i].eq(valid & (number == i)),
                ]
                with m.If(number == i):
                    m.d.comb += ready.eq(self._sides(f"{channel}ready")[i])
        return m
