"""What becomes of the sums of a PIM command: results, requantized or as they are, in the scratchpad."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from ..access import Reader, Writer
from ..arch.dram import ACCUMULATOR_BYTES
from ..arch.parameters import MachineParameters
from ..arch.steps import CHANNEL, COUNT_BITS, PIM
from ..countdown import Countdown
from ..delay import delay
from ..elements import Packer, beat_layout
from ..engine import IN_FLIGHT
from ..layouts import record_layout
from ..requantizer import Requantizer
from ..scratchpad import ReadPort, WritePort
from ..skid import Skid
from ..streams import Pipelined

_SUM_BITS = 8 * ACCUMULATOR_BYTES
_HALF_BITS = _SUM_BITS // 2  # an element of what is written as it is
_LIMITS = {"out_zero_point": "zero_point", "low": "low", "high": "high"}
_NAMES = "n", "records", "out", *_LIMITS, "shared", "raw", "out_wide"
# product: it has results. columns: of sums.
RESULTS = data.StructLayout({"product": 1, "columns": 32, **{name: record_layout(PIM)[name].shape for name in _NAMES}})


class _Requantize(wiring.Component):
    """Sums with their records to beats of results; limits: constant while any are under way."""

    def __init__(self, lanes: int) -> None:
        self._requantizers = [Requantizer(_SUM_BITS + 1, registered=True) for _ in range(lanes)]
        self.latency = 1 + self._requantizers[0].latency
        sums = {"sums": data.ArrayLayout(signed(_SUM_BITS), lanes), "records": data.ArrayLayout(record_layout(CHANNEL), lanes)}
        layout = data.StructLayout({**sums, "keep": lanes, "last": 1})
        limits = data.StructLayout({name: RESULTS[name].shape for name in _LIMITS})
        super().__init__({"i": In(layout), "limits": In(limits), "o": Out(beat_layout(lanes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken = Signal.like(self.i, reset_less=True)
        m.d.sync += taken.eq(self.i)
        for i, requantizer in enumerate(self._requantizers):
            m.submodules[f"requantizer{i}"] = requantizer
            record = taken.records[i]
            m.d.comb += [
                requantizer.i.value.eq(taken.sums[i] + record.bias),
                *(requantizer.i[name].eq(record[name]) for name in ("multiplier", "shift")),
                *(getattr(requantizer, inner).eq(self.limits[name]) for name, inner in _LIMITS.items()),
                self.o.values[i].eq(requantizer.o),
            ]
        m.d.comb += [self.o[name].eq(delay(m, self.i[name], self.latency)) for name in ("keep", "last")]
        return m


class SumCollector(wiring.Component):
    """Members
    -------
    command: `RESULTS`, taken when the one before is done. columns: its sums. handed: high for one cycle for each command, in their order,
    when all of it is the controller's. stopped: the controller has stopped for an error and is idle: what is missing of the sums of a
    command that was handed over never comes, and anything counts as them. done: high for one cycle: the command is done.
    read, write: scratchpad ports.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.dram is not None
        self._word, self._column_bits = parameters.word_bytes, 8 * parameters.dram.column_bytes
        super().__init__(
            {
                "command": In(stream.Signature(RESULTS)),
                "columns": In(stream.Signature(self._column_bits)),
                "handed": In(1),
                "stopped": In(1),
                "done": Out(1),
                "read": Out(ReadPort(self._word)),
                "write": Out(WritePort(self._word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, lanes = self._word, self._word * 8 // CHANNEL.bits
        c = Signal(RESULTS, reset_less=True)
        m.submodules.reader = reader = Reader(word, steps=(lanes, 1))
        m.submodules.packer = packer = Packer(word, lanes)
        m.submodules.writer = writer = Writer(word, steps=(1, 1))
        connect(m, reader.port, flipped(self.read))
        connect(m, packer.words, writer.words)
        connect(m, writer.port, flipped(self.write))
        start, running = Signal(), Signal()  # running: columns are to come
        written, handed = Signal(), Signal(range(IN_FLIGHT + 1))
        self._elements(m, c, start, running, handed != 0, reader, packer)
        octets = c.n << Mux(c.raw, exact_log2(ACCUMULATOR_BYTES), c.out_wide)
        words = (octets + (word - 1)) >> exact_log2(word)
        m.d.comb += [
            *(reader.loops.payload.base.address.eq(c.records), reader.loops.payload.stride[0].address.eq(~c.shared)),
            *(reader.loops.payload.count[0].eq(c.n), reader.loops.payload.count[1].eq(1), reader.loops.valid.eq(start & ~c.raw)),
            *(writer.loops.payload.base.address.eq(c.out), writer.loops.payload.stride[0].address.eq(1)),
            *(writer.loops.payload.count[0].eq(words), writer.loops.payload.count[1].eq(1), writer.loops.valid.eq(start)),
            *(packer.start.eq(start), packer.wide.eq(c.raw | c.out_wide)),
        ]
        m.d.sync += handed.eq(handed + self.handed - self.done)
        with m.If(start):
            m.d.sync += written.eq(0)
        with m.Elif(writer.done):
            m.d.sync += written.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += c.eq(self.command.payload)
                with m.If(self.command.valid):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += start.eq(c.product)
                m.next = "HANDOVER"
                with m.If(c.product):
                    m.next = "COLLECT"
            with m.State("COLLECT"), m.If(~running & written):
                m.next = "HANDOVER"
            with m.State("HANDOVER"), m.If(handed != 0):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _elements(self, m: Module, c: data.View, start: Value, running: Signal, handed: Value, reader: Reader, packer: Packer) -> None:
        """From columns to beats of elements: sums with their records through the requantizers, or halves of sums as they are. ``running``
        from the start to the last column."""
        lanes = self._word * 8 // CHANNEL.bits
        m.submodules.arrived = arrived = Skid(self._column_bits)
        datapath = _Requantize(lanes)
        m.submodules.requantize = requantize = Pipelined(datapath)
        m.submodules.beats = beats = Skid(beat_layout(lanes))
        connect(m, flipped(self.columns), arrived.i)
        connect(m, beats.o, packer.beats)
        m.d.comb += [datapath.limits[name].eq(c[name]) for name in _LIMITS]
        columns, elements = Countdown(32, name="columns"), Countdown(COUNT_BITS + 1, step=lanes, name="elements")
        lost, wanted = Signal(), Signal()  # wanted: elements are to come, then what is left is dropped
        sums, halves = self._column_bits // (lanes * _SUM_BITS), self._column_bits // (lanes * _HALF_BITS)  # beats of a column
        part = Signal(range(halves))
        last_part = part == Mux(c.raw, halves - 1, sums - 1)
        there, column, half, beat = Signal(), arrived.o.payload, beats.i, requantize.i
        taken, column_ends = Signal(), Signal()
        offered = there & wanted
        keep = Cat(~elements.ends | (i < elements.left[: lanes.bit_length()]) for i in range(lanes))
        m.d.comb += [
            there.eq(running & (arrived.o.valid | lost)),
            *(beat.payload.sums.as_value().eq(column.word_select(part, lanes * _SUM_BITS)), beat.payload.keep.eq(keep)),
            *(beat.payload.records.as_value().eq(reader.words.payload.word), beat.payload.last.eq(elements.ends)),
            beat.valid.eq(offered & ~c.raw & reader.words.valid),
            reader.words.ready.eq(offered & ~c.raw & beat.ready),
            half.payload.eq(requantize.o.payload),
            half.valid.eq(requantize.o.valid),
            requantize.o.ready.eq(half.ready & ~c.raw),
            taken.eq(offered & Mux(c.raw, half.ready, beat.ready & reader.words.valid)),
            column_ends.eq(there & (~wanted | (taken & (last_part | elements.ends)))),
            arrived.o.ready.eq(column_ends),
        ]
        with m.If(c.raw):
            m.d.comb += [half.payload.values.as_value().eq(column.word_select(part, lanes * _HALF_BITS)), half.valid.eq(offered)]
            m.d.comb += [half.payload.keep.eq(keep), half.payload.last.eq(elements.ends)]
        m.d.sync += lost.eq(self.stopped & handed & running)
        with m.If(taken):
            m.d.sync += [part.eq(part + 1), *elements.advance(), wanted.eq(~elements.ends)]
        with m.If(column_ends):
            m.d.sync += [part.eq(0), *columns.advance(), running.eq(~columns.ends)]
        with m.If(start):
            m.d.sync += [part.eq(0), *columns.start(c.columns), *elements.start(c.n << c.raw), wanted.eq(1), running.eq(1)]
