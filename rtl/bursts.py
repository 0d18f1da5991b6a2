"""Splits a transfer between external memory and scratchpad into AXI4 bursts."""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import EXTERNAL_ADDRESS_BITS, MachineParameters
from .arch.steps import COUNT_BITS
from .axi import BURST, MAX_BURST_BEATS

PAGE_BYTES = 4096  # no AXI4 burst crosses a multiple of this


class BurstGenerator(wiring.Component):
    """Members
    -------
    command: the transfer, taken when idle. bursts: its bursts, row by row, with absolute addresses.
    memory_base, memory_size: the buffer; ``outside`` is high for one cycle when a burst would reach beyond it: it and all that
        would follow are dropped. A buffer starts at a multiple of the bus width.
    """

    def __init__(self, parameters: MachineParameters, command: data.StructLayout) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command)),
                "bursts": Out(stream.Signature(BURST)),
                "outside": Out(1),
                "memory_base": In(EXTERNAL_ADDRESS_BITS),
                "memory_size": In(EXTERNAL_ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Rows are found one a cycle, in a pipeline, since ways from here are long. One that is a burst goes out as it is; a longer one, or
        one that crosses a page, is split by `_split`, at three cycles a burst."""
        m = Module()
        p, taken = self._p, self.command.payload
        page_beats = PAGE_BYTES // p.bus_bytes
        # One bit more than an address, so that what runs over its end is seen to be outside.
        row, stride = Signal(EXTERNAL_ADDRESS_BITS + 1), Signal(EXTERNAL_ADDRESS_BITS)
        rows_left, row_beats = Signal(COUNT_BITS), Signal(COUNT_BITS + (p.beats_per_word - 1).bit_length())
        walks, goes_on, row_done = Signal(), Signal(), Signal()
        with m.If(self.command.ready & self.command.valid):
            m.d.sync += [row.eq(taken.external), stride.eq(taken.external_stride), rows_left.eq(taken.rows), walks.eq(1)]
            m.d.sync += row_beats.eq(taken.words * p.beats_per_word)
        with m.Elif(walks & goes_on):
            m.d.sync += [row.eq(row + stride), rows_left.eq(rows_left - 1), walks.eq(rows_left != 1)]
        # Where the row begins; what it leaves of the page and of the buffer; and then whether it is one burst.
        begins, measured, valid = (Signal(name=name) for name in ("begins", "measured", "valid"))
        places = [Signal.like(row, name=f"at_{name}") for name in ("begins", "measured", "valid")]
        lengths = [Signal.like(row_beats, name=f"beats_{name}") for name in ("begins", "measured", "valid")]
        absolute, to_page_end = Signal(EXTERNAL_ADDRESS_BITS), Signal(range(page_beats + 1))
        room, single, fits = Signal(signed(EXTERNAL_ADDRESS_BITS + 2)), Signal(), Signal()
        at, beats_left = places[-1], lengths[-1]
        with m.If(goes_on):
            m.d.sync += [begins.eq(walks), measured.eq(begins), valid.eq(measured)]
            m.d.sync += [absolute.eq(self.memory_base + row), room.eq(self.memory_size - places[0])]
            m.d.sync += [later.eq(earlier) for chain in ([row, *places], [row_beats, *lengths]) for earlier, later in pairwise(chain)]
            m.d.sync += [
                to_page_end.eq(self._to_page_end(absolute)),
                single.eq((lengths[1] <= to_page_end) & (lengths[1] <= MAX_BURST_BEATS)),
                fits.eq((lengths[1] * p.bus_bytes <= room) & self._aligned(places[1])),
            ]
        whole = valid & single
        m.d.comb += [
            self.command.ready.eq(~walks & ~self.outside),
            goes_on.eq(~valid | row_done),
            self.bursts.payload.address.eq(self.memory_base + at),
            self.bursts.payload.len.eq(beats_left - 1),
        ]
        with m.If(whole):
            m.d.comb += [self.bursts.valid.eq(fits), self.outside.eq(~fits), row_done.eq(fits & self.bursts.ready)]
        self._split(m, valid & ~single, at, beats_left, row_done)
        with m.If(self.outside):
            m.d.sync += [signal.eq(0) for signal in (walks, begins, measured, valid)]
        return m

    def _split(self, m: Module, more: Value, at: Signal, beats_left: Signal, row_done: Signal) -> None:
        """The bursts of a row that is more than one: ``at``, ``beats_left`` are what is left of it."""
        bus_bytes = self._p.bus_bytes
        beats, end = Signal(range(MAX_BURST_BEATS + 1)), Signal.like(at)
        room, checked, ends_row = Signal(signed(EXTERNAL_ADDRESS_BITS + 2)), Signal(), Signal()
        with m.FSM():
            with m.State("SIZE"):
                to_page_end = self._to_page_end((self.memory_base + at)[:EXTERNAL_ADDRESS_BITS])
                wanted = Mux(beats_left < MAX_BURST_BEATS, beats_left, MAX_BURST_BEATS)
                m.d.sync += [beats.eq(Mux(to_page_end < wanted, to_page_end, wanted)), room.eq(self.memory_size - at)]
                with m.If(more):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [end.eq(at + beats * bus_bytes), ends_row.eq(beats == beats_left)]
                m.d.sync += checked.eq((beats * bus_bytes <= room) & self._aligned(at))
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.outside.eq(~checked), self.bursts.valid.eq(checked), self.bursts.payload.len.eq(beats - 1)]
                with m.If(~checked | self.bursts.ready):
                    m.d.comb += row_done.eq(checked & ends_row)
                    with m.If(~ends_row):
                        m.d.sync += [at.eq(end), beats_left.eq(beats_left - beats)]
                    m.next = "SIZE"

    def _to_page_end(self, address: Value) -> Value:
        """Beats."""
        page_beats = PAGE_BYTES // self._p.bus_bytes
        return page_beats - (address // self._p.bus_bytes)[: (page_beats - 1).bit_length()]

    def _aligned(self, address: Value) -> Value:
        return address[: (self._p.bus_bytes - 1).bit_length()] == 0
