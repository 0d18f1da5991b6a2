"""What index lists say: where the rows of a matrix lie whose numbers come, and the transfers that fetch them."""

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import Reader
from .arch.parameters import EXTERNAL_ADDRESS_BITS
from .arch.steps import COUNT_BITS, LOAD, TRANSFER
from .countdown import Countdown
from .elements import ELEMENT, Unpacker
from .layouts import record_layout
from .multiplier import multiply_registered, product_latency
from .scratchpad import ReadPort
from .streams import Pipelined


class _Datapath(wiring.Component):
    def __init__(self, matrix: data.StructLayout) -> None:
        self.latency = product_latency(unsigned(ELEMENT.width), Shape.cast(matrix["stride"].shape)) + 2
        super().__init__({"i": In(ELEMENT), "o": Out(matrix["address"].shape), "matrix": In(matrix)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset = multiply_registered(m, platform, self.i.as_unsigned(), self.matrix.stride, name="offset")
        m.d.sync += self.o.eq(self.matrix.address + offset)
        return m


class RowAddresses(wiring.Component):
    """Members
    -------
    numbers: of rows, unsigned. addresses: of these rows, modulo what an address can be. matrix: where it starts, and how far a row is from
    the next; constant while numbers are under way.
    """

    def __init__(self, *, address_bits: int, stride_bits: int) -> None:
        self._matrix = data.StructLayout({"address": address_bits, "stride": stride_bits})
        members = {"numbers": In(stream.Signature(ELEMENT)), "addresses": Out(stream.Signature(address_bits)), "matrix": In(self._matrix)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        datapath = _Datapath(self._matrix)
        m.submodules.rows = rows = Pipelined(datapath)
        connect(m, flipped(self.numbers), rows.i)
        connect(m, flipped(self.addresses), rows.o)
        m.d.comb += datapath.matrix.eq(self.matrix)
        return m


class ListedTransfers(wiring.Component):
    """Members
    -------
    command: a load, taken when the one before is done. transfers: what it fetches: itself, but for its lists; or transfers of a row.
    read: scratchpad port, for the lists. stop: no more transfers of this command come, until a reset.
    """

    def __init__(self, word_bytes: int) -> None:
        self._word_bytes = word_bytes
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(LOAD))),
                "transfers": Out(stream.Signature(record_layout(TRANSFER))),
                "read": Out(ReadPort(word_bytes)),
                "stop": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = Signal.like(self.command.payload)
        m.submodules.reader = reader = Reader(self._word_bytes, steps=(self._word_bytes, 1))
        m.submodules.unpacker = unpacker = Unpacker(self._word_bytes, 1)
        m.submodules.addresses = addresses = RowAddresses(address_bits=EXTERNAL_ADDRESS_BITS, stride_bits=EXTERNAL_ADDRESS_BITS)
        connect(m, reader.port, flipped(self.read))
        base, shifts, start = Signal(EXTERNAL_ADDRESS_BITS), Signal(), Signal()
        rows = Countdown(COUNT_BITS, name="rows")
        count = Mux(shifts, c.shift_element + 1, c.rows)[:COUNT_BITS]
        number, address = unpacker.beats, addresses.addresses
        skipped = shifts & ~number.payload.last
        m.d.comb += [
            reader.loops.payload.base.address.eq(Mux(shifts, c.shift, c.numbers)),
            *(reader.loops.payload.count[0].eq(count << 1), reader.loops.payload.stride[0].address.eq(1)),
            *(reader.loops.payload.count[1].eq(1), reader.loops.valid.eq(start)),
            *(unpacker.start.eq(start), unpacker.cols.eq(count), unpacker.wide.eq(1)),
            *(unpacker.words.payload.eq(reader.words.payload.word), unpacker.words.valid.eq(reader.words.valid)),
            reader.words.ready.eq(unpacker.words.ready),
            *(addresses.numbers.payload.eq(number.payload.values[0]), addresses.numbers.valid.eq(number.valid & ~skipped)),
            number.ready.eq(addresses.numbers.ready | skipped),
            addresses.matrix.address.eq(base),
            addresses.matrix.stride.eq(Mux(shifts, c.shift_stride, c.external_stride)),
            *(self.transfers.payload[field.name].eq(c[field.name]) for field in TRANSFER.fields),
            self.transfers.payload.external.eq(base),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += [c.eq(self.command.payload), base.eq(self.command.payload.external), shifts.eq(self.command.payload.shifted)]
                with m.If(self.command.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += start.eq(shifts | c.gathers)
                m.d.sync += rows.start(c.rows)
                with m.If(shifts):
                    m.next = "SHIFT"
                with m.Elif(c.gathers):
                    m.next = "ROWS"
                with m.Else():
                    m.next = "WHOLE"
            with m.State("SHIFT"):
                m.d.comb += address.ready.eq(1)
                with m.If(address.valid):
                    m.d.sync += [base.eq(address.payload), shifts.eq(0)]
                    m.next = "BEGIN"
            with m.State("ROWS"):
                m.d.comb += [
                    *(self.transfers.payload.external.eq(address.payload), self.transfers.payload.rows.eq(1)),
                    *(self.transfers.valid.eq(address.valid & ~self.stop), address.ready.eq(self.transfers.ready & ~self.stop)),
                ]
                with m.If(address.valid & address.ready):
                    m.d.sync += rows.advance()
                    with m.If(rows.ends):
                        m.next = "IDLE"
            with m.State("WHOLE"):
                m.d.comb += self.transfers.valid.eq(1)
                with m.If(self.transfers.ready):
                    m.next = "IDLE"
        return m
