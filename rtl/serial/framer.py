"""Frames as the bytes that go over the line."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..arch.serial import CRC_BYTES, ESCAPE, ESCAPED, FLAG, HEADER, HEADER_BYTES
from ..layouts import record_layout


class Framer(wiring.Component):
    """Members
    -------
    start: send a frame with this header, which stays until ``done``, for a cycle.
    address, data: of its payload, from a memory that gives the data a cycle later. o: bytes for a UartTransmitter.
    """

    def __init__(self, payload_bytes: int) -> None:
        self._payload_bytes = payload_bytes
        super().__init__(
            {
                **{"start": In(1), "header": In(record_layout(HEADER)), "done": Out(1)},
                **{"address": Out(range(payload_bytes)), "data": In(8), "o": Out(stream.Signature(8))},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        count, end = Signal(range(HEADER_BYTES + self._payload_bytes + CRC_BYTES + 1)), Signal(17)
        value = Signal(8)
        m.d.comb += [self.address.eq(count - HEADER_BYTES), crc.data.eq(value), crc.start.eq(self.start)]
        m.d.comb += end.eq(self.header.length + HEADER_BYTES)
        with m.If(count < HEADER_BYTES):
            m.d.comb += value.eq(self.header.as_value().word_select(count, 8))
        with m.Elif(count < end):
            m.d.comb += value.eq(self.data)
        with m.Else():
            m.d.comb += value.eq(crc.crc.word_select((count - end)[:2], 8))
        stuffed = (value == FLAG) | (value == ESCAPE)
        with m.FSM(name="state"):
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += count.eq(0)
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BYTE"
            with m.State("FETCH"):  # the memory's data
                m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [self.o.payload.eq(Mux(stuffed, ESCAPE, value)), self.o.valid.eq(1)]
                with m.If(self.o.ready & stuffed):
                    m.next = "ESCAPED"
                with m.Elif(self.o.ready):
                    m.next = "NEXT"
            with m.State("ESCAPED"):
                m.d.comb += [self.o.payload.eq(value ^ ESCAPED), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += crc.valid.eq(count < end)
                m.d.sync += count.eq(count + 1)
                m.next = "FETCH"
                with m.If(count == end + (CRC_BYTES - 1)):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1), self.done.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m
