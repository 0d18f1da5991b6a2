"""A memory that machine and host share."""

from amaranth.hdl import Module
from amaranth.lib import wiring

from ..rtl.axi import SLAVE, slave_ports
from ..rtl.flat_ports import connect_ports
from ..rtl.memory.share import Share, shared_id_bits

MASTERS = 2  # machine, host


class SharedMemory(wiring.Component):
    """Members
    -------
    s<i>_axi_*: AXI4 slave of master i.
    chip: the memory's pins, where it has some.

    memory: an AXI4 slave with ids of ID_BITS, a word of bus_bytes wide.
    """

    ID_BITS = shared_id_bits(MASTERS)

    def __init__(self, bus_bytes: int, memory: wiring.Component) -> None:
        self._bus_bytes, self._memory = bus_bytes, memory
        masters = {name: port for i in range(MASTERS) for name, port in slave_ports(bus_bytes, f"s{i}_axi_").items()}
        super().__init__({**masters, **chip_of(memory)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.share = share = Share(self._bus_bytes, masters=MASTERS)
        m.submodules.memory = memory = self._memory
        connect_ports(m, slave_ports(self._bus_bytes, "", id_bits=self.ID_BITS), share, memory, outer="m_axi_", inner=SLAVE)
        for i in range(MASTERS):
            connect_ports(m, slave_ports(self._bus_bytes, f"s{i}_axi_"), self, share)
        connect_ports(m, chip_of(memory), self, memory)
        return m


def chip_of(memory: wiring.Component) -> dict[str, wiring.Member]:
    """The member for its pins, where it has some."""
    return {name: member for name, member in memory.signature.members.items() if name == "chip"}
