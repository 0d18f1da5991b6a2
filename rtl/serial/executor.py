"""The commands of a request, one after the other: words between the frames' memories and the buses of registers and memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arch.serial import ABOUT, ABOUT_BYTES, COMMAND, COMMAND_BYTES, REGISTER_SPACE, WORD_BYTES, Operation, SerialParameters, Status
from ..flat_ports import connect_ports
from ..layouts import record_layout
from .word_master import WordMaster, master_ports


class Executor(wiring.Component):
    """Members
    -------
    start: do what is in the request's memory, of ``length`` bytes; about: with start, instead tell about the board. done: the reply is in
    its memory, ``reply_length`` bytes, in this cycle and until the next start.
    address, data: of the request's memory, which gives the data a cycle later. write, write_address, write_data: of the reply's memory.
    irq: what WAIT waits for. m_axil_*: AXI4-Lite to registers. m_axi_*: AXI4 to memory, bursts of a beat.
    """

    def __init__(self, parameters: SerialParameters) -> None:
        self._p = parameters
        places = range(parameters.payload_bytes)
        super().__init__(
            {
                **{"start": In(1), "about": In(1), "length": In(16), "done": Out(1), "reply_length": Out(16)},
                **{"address": Out(places), "data": In(8)},
                **{"write": Out(1), "write_address": Out(places), "write_data": Out(8)},
                "irq": In(1),
                **master_ports(parameters.bus_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, operations = self._p, Operation
        command = Signal(record_layout(COMMAND))
        position, words = Signal(16), Signal(16)  # in the request; words to come of a command
        word, status = Signal(8 * WORD_BYTES), Signal(8)
        index, settled = Signal(range(COMMAND_BYTES)), Signal()  # of a byte; the request's memory gives it
        cycles, higher = Signal(64), Signal(32)
        m.d.sync += cycles.eq(cycles + 1)
        m.d.comb += [self.address.eq(position), self.write_address.eq(self.reply_length)]

        asks = Signal()  # a word is on its way to or from a bus, whose answer comes
        writes, in_memory = command.operation[0], command.operation[1]
        m.submodules.master = master = WordMaster(p.bus_bytes)
        connect_ports(m, master_ports(p.bus_bytes), self, master)
        m.d.comb += [
            *(master.asks.eq(asks), master.writes.eq(writes), master.in_memory.eq(in_memory)),
            *(master.address.eq(command.address), master.word.eq(word)),
        ]

        about = Const(p.about, ABOUT.bits)
        special = command.operation >= operations.WAIT
        # What a command asks for and what there is, in words, and from them what is wrong with it, each a cycle later: the sums take most
        # of a cycle of a slow FPGA.
        reads, left, room, wrong = Signal(16), Signal(14), Signal(signed(15)), Signal(6)
        past_registers = command.address[16:].any() | (command.address[2:16] + command.words > REGISTER_SPACE // WORD_BYTES)
        m.d.sync += [
            reads.eq(Mux(special, Mux(command.operation == operations.WAIT, 1, 2), Mux(writes, 0, command.words))),
            left.eq((self.length - position) // WORD_BYTES),
            room.eq((p.payload_bytes - 2 - self.reply_length) >> 2),
            wrong.eq(
                Cat(
                    command.operation > max(operations),
                    command.reserved != 0,
                    ~special & ((command.words == 0) | (command.address[:2] != 0) | (~in_memory & past_registers)),
                    special & (command.words != 0),
                    ~special & writes & (command.words > left),
                    reads > room,
                )
            ),
        ]

        def put(value: Value) -> None:
            m.d.comb += [self.write.eq(1), self.write_data.eq(value)]
            m.d.sync += self.reply_length.eq(self.reply_length + 1)

        def fetch(value: Signal, size: int, then: str) -> None:
            """Bytes of the request, the lowest first."""
            bits = Value.cast(value)
            m.d.sync += settled.eq(~settled)
            with m.If(settled):
                m.d.sync += [bits.eq(Cat(bits[8:], self.data)), position.eq(position + 1), index.eq(index + 1)]
                with m.If(index == size - 1):
                    m.d.sync += index.eq(0)
                    m.next = then

        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.sync += [position.eq(0), index.eq(0), settled.eq(0)]
                with m.If(self.start):
                    m.d.sync += self.reply_length.eq(0)
                    m.next = "NEXT"
                    with m.If(self.about):
                        m.next = "ABOUT"
            with m.State("ABOUT"):
                put(about.word_select(self.reply_length[:4], 8))
                with m.If(self.reply_length == ABOUT_BYTES - 1):
                    m.next = "DONE"
            with m.State("NEXT"):
                m.d.sync += status.eq(Status.OK)
                with m.If(position == self.length):
                    m.next = "DONE"
                with m.Elif(self.length - position < COMMAND_BYTES):
                    m.d.sync += status.eq(Status.ILLEGAL)
                    m.next = "STATUS"
                with m.Else():
                    m.next = "COMMAND"
            with m.State("COMMAND"):
                fetch(command, COMMAND_BYTES, "SETTLE")
            with m.State("SETTLE"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [words.eq(Mux(special, reads, command.words)), higher.eq(cycles[32:]), word.eq(cycles[:32])]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                with m.If(wrong.any()):
                    m.d.sync += status.eq(Status.ILLEGAL)
                    m.next = "STATUS"
                with m.Elif(command.operation == operations.WAIT):
                    m.next = "WAIT"
                with m.Elif(command.operation == operations.CYCLES):
                    m.next = "PUT"
                with m.Elif(writes):
                    m.next = "FETCH"
                with m.Else():
                    m.next = "ASK"
            with m.State("WAIT"):
                m.d.sync += [command.address.eq(command.address - 1), word.eq(self.irq)]
                with m.If(self.irq | (command.address == 0)):
                    m.next = "PUT"
            with m.State("FETCH"):
                fetch(word, WORD_BYTES, "ASK")
            with m.State("ASK"):
                m.d.comb += asks.eq(1)
                m.next = "ANSWER"
            with m.State("ANSWER"), m.If(master.answered):
                m.d.sync += [word.eq(master.read), command.address.eq(command.address + WORD_BYTES)]
                with m.If(master.error):
                    m.d.sync += status.eq(Status.BUS_ERROR)
                with m.If(writes):
                    m.d.sync += words.eq(words - 1)
                    m.next = "FETCH"
                    with m.If(words == 1):
                        m.next = "STATUS"
                with m.Else():
                    m.next = "PUT"
            with m.State("PUT"):
                put(word[:8])
                m.d.sync += [word.eq(word[8:]), index.eq(index + 1)]
                with m.If(index == WORD_BYTES - 1):
                    m.d.sync += [index.eq(0), words.eq(words - 1), word.eq(higher)]
                    with m.If(words == 1):
                        m.next = "STATUS"
                    with m.Elif(~special):
                        m.next = "ASK"
            with m.State("STATUS"):
                put(status)
                m.next = "NEXT"
                with m.If(status != Status.OK):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
