"""A memory of the FPGA's blocks that machine and host share."""

from amaranth.hdl import Module
from amaranth.lib import wiring

from ...rtl.axi import SLAVE, slave_ports
from ...rtl.flat_ports import connect_ports
from ...rtl.memory.block import BlockMemory
from ...rtl.memory.share import Share, shared_id_bits
from ..system import MASTERS


class SharedMemory(wiring.Component):
    """Members
    -------
    s<i>_axi_*: AXI4 slave of master i.

    bus_bytes, size: as of a BlockMemory.
    """

    def __init__(self, bus_bytes: int, size: int) -> None:
        self._bus_bytes, self._size = bus_bytes, size
        super().__init__({name: port for i in range(MASTERS) for name, port in slave_ports(bus_bytes, f"s{i}_axi_").items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        id_bits = shared_id_bits(MASTERS)
        m.submodules.share = share = Share(self._bus_bytes, masters=MASTERS)
        m.submodules.blocks = blocks = BlockMemory(self._bus_bytes, self._size, id_bits=id_bits)
        connect_ports(m, slave_ports(self._bus_bytes, "", id_bits=id_bits), share, blocks, outer="m_axi_", inner=SLAVE)
        for i in range(MASTERS):
            connect_ports(m, slave_ports(self._bus_bytes, f"s{i}_axi_"), self, share)
        return m
