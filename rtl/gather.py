"""Where the rows of a matrix lie whose numbers come."""

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.steps import ADDRESS_BITS, STRIDE_BITS
from .elements import ELEMENT
from .multiplier import block_product
from .streams import Pipelined

MATRIX = data.StructLayout({"address": ADDRESS_BITS, "stride": STRIDE_BITS})


class _Datapath(wiring.Component):
    latency = 3

    def __init__(self) -> None:
        super().__init__({"i": In(ELEMENT), "o": Out(ADDRESS_BITS), "matrix": In(MATRIX)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset = block_product(m, platform, self.i.as_unsigned(), self.matrix.stride, name="offset")
        m.d.sync += self.o.eq(self.matrix.address + offset)
        return m


class RowAddresses(wiring.Component):
    """Members
    -------
    numbers: of rows, unsigned. addresses: of these rows, in words. matrix: constant while numbers are under way.
    """

    def __init__(self) -> None:
        super().__init__({"numbers": In(stream.Signature(ELEMENT)), "addresses": Out(stream.Signature(ADDRESS_BITS)), "matrix": In(MATRIX)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        datapath = _Datapath()
        m.submodules.rows = rows = Pipelined(datapath)
        connect(m, flipped(self.numbers), rows.i)
        connect(m, flipped(self.addresses), rows.o)
        m.d.comb += datapath.matrix.eq(self.matrix)
        return m
