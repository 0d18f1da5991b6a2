"""The board's end of the serial link: a line on one side, masters of the registers' and the memory's bus on the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out, connect

from ..arch.serial import Kind, SerialParameters
from ..flat_ports import connect_ports
from .deframer import Deframer
from .executor import Executor
from .framer import Framer
from .uart import UartReceiver, UartTransmitter
from .word_master import master_ports


class SerialBridge(wiring.Component):
    """Its golden model is sw/golden/serial.py. A request that comes while another is done, or its reply sent, is not seen.

    Members
    -------
    rx, tx: the line. irq: what WAIT waits for. active: a request is done, or its reply sent. m_axil_*: AXI4-Lite to registers. m_axi_*:
    AXI4 to memory, in words of 4 bytes.
    """

    def __init__(self, parameters: SerialParameters) -> None:
        self._p = parameters
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "irq": In(1), "active": Out(1), **master_ports(parameters.bus_bytes)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.receiver = receiver = UartReceiver(clock=p.clock, baud=p.baud)
        m.submodules.transmitter = transmitter = UartTransmitter(clock=p.clock, baud=p.baud)
        m.submodules.deframer = deframer = Deframer(p.payload_bytes)
        m.submodules.executor = executor = Executor(p)
        m.submodules.framer = framer = Framer(p.payload_bytes)
        m.submodules.request = request = memory.Memory(shape=8, depth=p.payload_bytes, init=[])
        m.submodules.reply = reply = memory.Memory(shape=8, depth=p.payload_bytes, init=[])
        for written, writer, reader in ((request, deframer, executor), (reply, executor, framer)):
            write, read = written.write_port(), written.read_port()
            m.d.comb += [write.en.eq(writer.write), write.addr.eq(writer.write_address), write.data.eq(writer.write_data)]
            m.d.comb += [read.addr.eq(reader.address), reader.data.eq(read.data)]
        connect(m, framer.o, transmitter.i)
        connect_ports(m, master_ports(p.bus_bytes), self, executor)

        opened, session, sequence = Signal(), Signal(16), Signal(8)  # of the last request that was done
        header = deframer.header
        same = opened & (header.session == session)
        opens, repeats, follows = Signal(), Signal(), Signal()  # of the header, which comes well before its frame is found
        m.d.sync += [
            opens.eq((header.kind == Kind.OPEN) & (header.length == 0) & ~same),
            repeats.eq(same & (header.sequence == sequence) & ((header.kind == Kind.OPEN) | (header.kind == Kind.COMMANDS))),
            follows.eq(same & (header.sequence == (sequence + 1)[:8]) & (header.kind == Kind.COMMANDS)),
        ]
        m.d.comb += [
            self.tx.eq(transmitter.tx),
            receiver.rx.eq(self.rx),
            *(getattr(deframer, name).eq(getattr(receiver, name)) for name in ("byte", "valid", "broken")),
            deframer.hold.eq(self.active),
            executor.irq.eq(self.irq),
            executor.about.eq(opens),
            executor.length.eq(header.length),
            executor.start.eq(deframer.found & (opens | follows)),
            framer.start.eq(executor.done | (deframer.found & repeats)),
            *(framer.header.session.eq(session), framer.header.sequence.eq(sequence)),
            *(framer.header.kind.eq(Kind.REPLY), framer.header.length.eq(executor.reply_length)),
        ]
        with m.If(deframer.found & (opens | follows)):
            m.d.sync += [opened.eq(1), session.eq(header.session), sequence.eq(header.sequence)]
        with m.If(deframer.found & (opens | follows | repeats)):
            m.d.sync += self.active.eq(1)
        with m.Elif(framer.done):
            m.d.sync += self.active.eq(0)
        return m
