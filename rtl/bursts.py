"""Splits a transfer between external memory and scratchpad into AXI4 bursts."""

from amaranth.hdl import Module, Mux, Signal, signed
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
        m = Module()
        p = self._p
        c = Signal.like(self.command.payload)
        # One bit more than an address, so that what runs over its end is seen to be outside.
        at, row = Signal(EXTERNAL_ADDRESS_BITS + 1), Signal(EXTERNAL_ADDRESS_BITS + 1)
        beats_left = Signal(COUNT_BITS + (p.beats_per_word - 1).bit_length())
        row_beats = Signal.like(beats_left)
        rows_left = Signal(COUNT_BITS)
        beats, end = Signal(range(MAX_BURST_BEATS + 1)), Signal.like(at)
        # A burst takes three cycles: what it needs is found in the first two, since ways from here are long.
        room, checked, ends_row, ends = Signal(signed(EXTERNAL_ADDRESS_BITS + 2)), Signal(), Signal(), Signal()
        absolute = (self.memory_base + at)[:EXTERNAL_ADDRESS_BITS]
        page_beats = PAGE_BYTES // p.bus_bytes
        to_page_end = page_beats - (absolute // p.bus_bytes)[: (page_beats - 1).bit_length()]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                command = self.command.payload
                m.d.sync += [
                    c.eq(command),
                    at.eq(command.external),
                    row.eq(command.external),
                    rows_left.eq(command.rows),
                    beats_left.eq(command.words * p.beats_per_word),
                    row_beats.eq(command.words * p.beats_per_word),
                ]
                with m.If(self.command.valid):
                    m.next = "SIZE"
            with m.State("SIZE"):
                wanted = Mux(beats_left < MAX_BURST_BEATS, beats_left, MAX_BURST_BEATS)
                m.d.sync += [beats.eq(Mux(to_page_end < wanted, to_page_end, wanted)), room.eq(self.memory_size - at)]
                m.next = "CHECK"
            with m.State("CHECK"):
                aligned, all_of_row = at[: (p.bus_bytes - 1).bit_length()] == 0, beats == beats_left
                m.d.sync += [end.eq(at + beats * p.bus_bytes), checked.eq((beats * p.bus_bytes <= room) & aligned)]
                m.d.sync += [ends_row.eq(all_of_row), ends.eq(all_of_row & (rows_left == 1))]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    self.outside.eq(~checked),
                    self.bursts.valid.eq(checked),
                    self.bursts.payload.address.eq(absolute),
                    self.bursts.payload.len.eq(beats - 1),
                ]
                with m.If(~checked):
                    m.next = "IDLE"
                with m.Elif(self.bursts.ready):
                    m.d.sync += [at.eq(end), beats_left.eq(beats_left - beats)]
                    m.next = "SIZE"
                    with m.If(ends_row):
                        following = (row + c.external_stride)[: len(row)]
                        m.d.sync += [at.eq(following), row.eq(following), beats_left.eq(row_beats), rows_left.eq(rows_left - 1)]
                        with m.If(ends):
                            m.next = "IDLE"
        return m
