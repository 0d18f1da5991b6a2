"""Frames from the bytes of the line."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..arch.serial import CRC_BYTES, ESCAPE, ESCAPED, FLAG, HEADER, HEADER_BYTES
from ..layouts import record_layout


class Deframer(wiring.Component):
    """Members
    -------
    byte, valid, broken: of a UartReceiver. hold: nothing that comes is looked at, and the frame under way is dropped.
    header: of the frame. found: it is whole and undamaged, for a cycle. Both stay until the next byte.
    write, write_address, write_data: of the payload, to a memory.
    """

    def __init__(self, payload_bytes: int) -> None:
        self._payload_bytes = payload_bytes
        super().__init__(
            {
                **{"byte": In(8), "valid": In(1), "broken": In(1), "hold": In(1)},
                **{"header": Out(record_layout(HEADER)), "found": Out(1)},
                **{"write": Out(1), "write_address": Out(range(payload_bytes)), "write_data": Out(8)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        most = HEADER_BYTES + self._payload_bytes + CRC_BYTES
        inside, escaped = Signal(), Signal()  # inside: a frame, so far undamaged
        count = Signal(range(most + 1))
        flag = self.valid & (self.byte == FLAG)
        escapes = self.valid & (self.byte == ESCAPE) & ~escaped
        taken = self.valid & inside & ~flag & ~escapes & (count != most)
        value = self.byte ^ Mux(escaped, ESCAPED, 0)
        m.d.comb += [
            crc.data.eq(value),
            crc.valid.eq(taken),
            crc.start.eq(flag),
            # The CRC too, where there is room.
            self.write.eq(taken & (count >= HEADER_BYTES) & (count < HEADER_BYTES + self._payload_bytes)),
            self.write_address.eq(count - HEADER_BYTES),
            self.write_data.eq(value),
        ]
        complete = count == self.header.length + (HEADER_BYTES + CRC_BYTES)
        m.d.sync += self.found.eq(flag & inside & ~escaped & ~self.hold & crc.match_detected & complete)
        with m.If(flag):
            m.d.sync += [inside.eq(1), escaped.eq(0), count.eq(0)]
        with m.Elif(escapes):
            m.d.sync += escaped.eq(1)
        with m.Elif(self.valid):
            m.d.sync += [escaped.eq(0), count.eq(count + taken), inside.eq(taken)]
        with m.If(taken & (count < HEADER_BYTES)):
            m.d.sync += self.header.eq(Cat(self.header.as_value()[8:], value))
        with m.If(self.broken | self.hold):
            m.d.sync += inside.eq(0)
        return m
