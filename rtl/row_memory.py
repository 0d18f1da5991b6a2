"""A memory that may be a little deeper than a power of two."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


class RowMemory(wiring.Component):
    """``depth`` words of ``shape``, one write and one read port. What exceeds a power of two lies in a second, small memory, so that the
    tools need not stack blocks behind a multiplexer for it.

    Members
    -------
    write_address, write_data, write: one word written. read_address, read: ``read_data`` follows `latency` cycles later; both stand
    still while not ``read``.
    """

    latency = 2  # a register behind the memory at once, since blocks are slow

    def __init__(self, shape: ShapeLike, *, depth: int) -> None:
        self._shape = shape
        main = 1 << (depth.bit_length() - 1)
        self._depths = (main, depth - main) if depth > main else (main,)
        address = ceil_log2(depth)
        super().__init__(
            {
                "write_address": In(address),
                "write_data": In(shape),
                "write": In(1),
                "read_address": In(address),
                "read": In(1),
                "read_data": Out(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        found = []
        for part, depth in enumerate(self._depths):
            m.submodules[f"part{part}"] = words = memory.Memory(shape=self._shape, depth=depth, init=[])
            write, read = words.write_port(), words.read_port()
            here = self.write_address[-1] == part if len(self._depths) > 1 else 1
            m.d.comb += [
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data),
                write.en.eq(self.write & here),
                read.addr.eq(self.read_address),
                read.en.eq(self.read),
            ]
            found.append(Signal.like(read.data, name=f"found{part}", reset_less=True))
            with m.If(self.read):
                m.d.sync += found[-1].eq(read.data)
        chosen = Signal(self.latency, reset_less=True)
        with m.If(self.read):
            m.d.sync += chosen.eq(Cat(self.read_address[-1:], chosen))
        m.d.comb += self.read_data.eq(Mux(chosen[-1], found[-1], found[0]))
        return m
