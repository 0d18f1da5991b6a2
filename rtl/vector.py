"""The vector engine: row-wise work on matrices in the scratchpad, through the blocks add, multiply, softmax, activation and LayerNorm."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import Reader, Writer
from .activation import Activation
from .arch.activation import MACHINE_GELU, MACHINE_TABLE, TABLE_ENTRIES
from .arch.blocks import LaneCircuit
from .arch.layernorm import LayerNormCircuit
from .arch.parameters import MachineParameters
from .arch.registers import ErrorCode
from .arch.softmax import Mask, SoftmaxCircuit
from .arch.steps import (
    ADDRESS_BITS,
    FLAGS,
    IMPORTANCE_BEGINS,
    STRIDE_BITS,
    VECTOR,
    VECTOR_SCALARS,
    Engine,
    VectorOperation,
    vector_operations,
)
from .elements import Elements, Packer, Unpacker, beat_layout
from .engine import EnginePort
from .gather import RowAddresses
from .importance import Importance
from .layernorm import LayerNorm
from .layouts import record_layout
from .multiply import AddOrMultiply
from .scratchpad import ReadPort, WritePort
from .select import select_one_hot
from .skid import Skid
from .softmax import Softmax


class VectorEngine(wiring.Component):
    """Members
    -------
    engine: the sequencer's port. read_a, read_b, write: scratchpad ports. flags: where the machine has pruning.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        word = parameters.word_bytes
        super().__init__(
            {
                "engine": In(EnginePort(Engine.VECTOR, parameters)),
                "read_a": Out(ReadPort(word)),
                "read_b": Out(ReadPort(word)),
                "write": Out(WritePort(word)),
                **({"flags": Out(FLAGS)} if parameters.pruning else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        word = p.word_bytes
        c = Signal(record_layout(VECTOR))
        m.submodules.reader_a = reader_a = Reader(word, steps=(word, 1))
        m.submodules.reader_b = reader_b = Reader(word, steps=(word, 1))
        m.submodules.unpacker_a = unpacker_a = Unpacker(word, p.lanes)
        m.submodules.unpacker_b = unpacker_b = Unpacker(word, p.lanes)
        m.submodules.packer = packer = Packer(word, p.lanes)
        m.submodules.writer = writer = Writer(word, steps=(word, 1))
        connect(m, reader_a.port, flipped(self.read_a))
        connect(m, reader_b.port, flipped(self.read_b))
        m.d.comb += reader_a.frees.eq(c.a_frees)
        for reader, unpacker in ((reader_a, unpacker_a), (reader_b, unpacker_b)):
            m.d.comb += [
                unpacker.words.payload.eq(reader.words.payload.word),
                unpacker.words.valid.eq(reader.words.valid),
                reader.words.ready.eq(unpacker.words.ready),
            ]
        connect(m, packer.words, writer.words)
        connect(m, writer.port, flipped(self.write))
        start = Signal()
        command, chosen = self.engine.command, Signal(len(VectorOperation))
        new = command.payload
        adds, multiplies = (new.operation == o for o in (VectorOperation.ADD, VectorOperation.MULTIPLY))
        normalises, looks_up = (new.operation == o for o in (VectorOperation.LAYERNORM, VectorOperation.TABLE))
        b_rows, b_cols = Mux(looks_up, 1, Mux(normalises, 2, new.rows)), Mux(looks_up, TABLE_ENTRIES, new.cols)
        picks, gathers = (new.operation == o for o in (VectorOperation.TOPK, VectorOperation.GATHER))
        ranks = picks & (new.importance == 0)
        needs_b = adds | multiplies | normalises | looks_up
        if p.pruning:
            b_rows, b_cols, needs_b = Mux(gathers, 1, b_rows), Mux(gathers, new.rows, b_cols), needs_b | gathers | ranks
        refusable, illegal, reads_b, cols_b = Signal(), Signal(), Signal(), Signal.like(c.cols)
        m.d.sync += refusable.eq(self._illegal(new))
        idle = Signal(init=1)  # many registers take a command
        m.d.comb += [command.ready.eq(idle), self.engine.begun.eq(idle & command.valid)]
        # What follows from a command is found as it comes, so that the ways from the registers start there.
        with m.If(command.ready):
            m.d.sync += [c.eq(new), *(chosen[operation].eq(new.operation == operation) for operation in VectorOperation)]
            m.d.sync += [illegal.eq(refusable), reads_b.eq(needs_b), cols_b.eq(b_cols)]
        for loops, matrix, rows, cols in (
            (reader_a.loops, "a", Mux(gathers, 1, new.rows) if p.pruning else new.rows, new.cols),
            (reader_b.loops, "b", b_rows, b_cols),
            (writer.loops, "out", new.rows, Mux(picks, new.length, new.cols) if p.pruning else new.cols),
        ):
            walk = Signal(loops.payload.shape(), name=f"walk_{matrix}")
            with m.If(command.ready):
                m.d.sync += [
                    walk.base.address.eq(new[matrix]),
                    walk.count[0].eq(cols << new[f"{matrix}_wide"]),
                    walk.stride[0].address.eq(1),
                    walk.count[1].eq(rows),
                    walk.stride[1].address.eq(new[f"{matrix}_stride"]),
                ]
            m.d.comb += [loops.payload.eq(walk), loops.valid.eq(start & (reads_b if loops is reader_b.loops else 1))]
        for unpacker, cols, wide in ((unpacker_a, c.cols, c.a_wide), (unpacker_b, cols_b, c.b_wide)):
            m.d.comb += [unpacker.start.eq(start), unpacker.cols.eq(cols), unpacker.wide.eq(wide)]
        m.d.comb += [packer.start.eq(start), packer.wide.eq(c.out_wide)]
        uses = self._uses(m, c, chosen, start)
        if p.pruning:
            uses = self._with_pruning(m, c, chosen, start, uses, reader_a.loops)
        self._join(m, c, chosen, uses, unpacker_a, unpacker_b, packer)

        with m.FSM():
            with m.State("IDLE"), m.If(command.valid):
                m.d.sync += idle.eq(0)
                m.next = "START"
            with m.State("START"):
                m.d.comb += start.eq(~illegal)
                m.next = "RUN"
                with m.If(illegal):
                    m.d.comb += [self.engine.error.eq(ErrorCode.ILLEGAL_STEP), self.engine.done.eq(1)]
                    m.d.sync += idle.eq(1)
                    m.next = "IDLE"
            with m.State("RUN"), m.If(writer.done):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.engine.done.eq(1)
                m.d.sync += idle.eq(1)
                m.next = "IDLE"
        return m

    def _illegal(self, c: data.View) -> Value:
        """Whether a command is one that the engine refuses: known CHECK_CYCLES after it came."""
        shares, scales, normalises, looks_up, picks = (
            c.operation == o
            for o in (
                VectorOperation.SOFTMAX,
                VectorOperation.GELU,
                VectorOperation.LAYERNORM,
                VectorOperation.TABLE,
                VectorOperation.TOPK,
            )
        )
        return (
            (c.operation > max(VectorOperation))
            | Cat(c.operation == o for o in VectorOperation if o not in vector_operations(self._p)).any()
            | (c.rows == 0)
            | (c.cols == 0)
            | (c.cols >> (len(c.cols) - 1))  # in bytes, a row must fit the loops' counters
            | ((shares | normalises) & (c.cols > self._p.row_elements))
            | (shares & (c.length == 0))  # its first row would have no sum
            | (looks_up & c.a_wide)
            | (picks & ((c.rows != 1) | (c.length == 0) | (c.length > c.cols) | (c.cols > self._p.row_elements)))
            | ((shares | scales) & ((c.multiplier_0 == 0) | (c.multiplier_1 == 0)))  # its rows would be dropped
        )

    def _uses(self, m: Module, c: data.View, chosen: Signal, start: Signal) -> list["_Use"]:
        p = self._p
        m.submodules.add = add = AddOrMultiply(LaneCircuit(lanes=p.lanes))
        m.submodules.table = table = Activation(replace(MACHINE_TABLE, lanes=p.lanes))
        m.submodules.entries = entries = Elements(p.lanes)
        connect(m, entries.o, table.entries)
        m.d.comb += [add.unary.eq(chosen[VectorOperation.RESCALE]), add.multiplies.eq(chosen[VectorOperation.MULTIPLY])]
        m.d.comb += table.reload.eq(start)
        return [
            _Use((VectorOperation.ADD, VectorOperation.RESCALE, VectorOperation.MULTIPLY), add, add.a, add.b, add.o),
            _Use((VectorOperation.TABLE,), table, table.i, entries.beats, table.o),
            *(self._of_transformers(m, c, start) if p.transformer else ()),
        ]

    def _of_transformers(self, m: Module, c: data.View, start: Signal) -> Iterator["_Use"]:
        p = self._p
        m.submodules.softmax = softmax = Softmax(SoftmaxCircuit(lanes=p.lanes, row_elements=p.row_elements, mask=Mask.CAUSAL))
        m.submodules.layernorm = layernorm = LayerNorm(LayerNormCircuit(lanes=p.lanes, row_elements=p.row_elements))
        m.submodules.gelu = gelu = Activation(replace(MACHINE_GELU, lanes=p.lanes))
        m.d.comb += layernorm.reload.eq(start)
        m.d.sync += softmax.parameters.rows.eq(Mux(c.causal, c.rows, 1))  # a command is a whole matrix, or each row is one
        yield _Use((VectorOperation.SOFTMAX,), softmax, softmax.i, None, softmax.o)
        yield _Use((VectorOperation.GELU,), gelu, gelu.i, None, gelu.o)
        yield _Use((VectorOperation.LAYERNORM,), layernorm, layernorm.i, layernorm.affine, layernorm.o)

    def _with_pruning(
        self, m: Module, c: data.View, chosen: Signal, start: Signal, uses: list["_Use"], rows: stream.Interface
    ) -> list["_Use"]:
        """The blocks with those for pruning, and with softmax's results, if there are any, passing the importance. rows: the loops through
        a."""
        p = self._p
        m.submodules.importance = importance = Importance(p)
        m.submodules.gathered = gathered = Skid(beat_layout(p.lanes))
        m.submodules.numbers = numbers = Elements(p.lanes)
        m.submodules.addresses = addresses = RowAddresses(address_bits=ADDRESS_BITS, stride_bits=STRIDE_BITS)
        connect(m, numbers.o, addresses.numbers)
        gathers = chosen[VectorOperation.GATHER]
        m.d.comb += [
            *(addresses.matrix.address.eq(c.a), addresses.matrix.stride.eq(c.a_stride), addresses.addresses.ready.eq(rows.ready)),
            *(importance.start.eq(start), importance.zero_point.eq(c.out_zero_point)),
            *(importance.adds.eq(c.importance != 0), importance.begins.eq(c.importance == IMPORTANCE_BEGINS)),
            importance.ranks.eq(chosen[VectorOperation.TOPK] & (c.importance == 0)),
        ]
        with m.If(gathers):
            m.d.comb += [rows.valid.eq(addresses.addresses.valid), rows.payload.base.address.eq(addresses.addresses.payload)]
        found = []
        for use in uses:
            if use.operations == (VectorOperation.SOFTMAX,):
                connect(m, use.o, importance.attention)
                self._watch(m, c, use.o, start)
                found.append(replace(use, o=importance.o))
            else:
                found.append(use)
        return [
            *found,
            _Use((VectorOperation.TOPK,), importance, importance.row, importance.labels, importance.o),
            _Use((VectorOperation.GATHER,), gathered, gathered.i, numbers.beats, gathered.o),
        ]

    def _watch(self, m: Module, c: data.View, results: stream.Interface, start: Value) -> None:
        """Set the command's flag where a row of softmax's results has none as large as the threshold, else clear it."""
        reached, flat, beat = Signal(), Signal(), results.payload
        large = Signal()  # in a beat of this row before this one
        m.d.comb += reached.eq(large | Cat(k & (v >= c.a_zero_point) for k, v in zip(beat.keep, beat.values, strict=True)).any())
        with m.If(start):
            m.d.sync += [large.eq(0), flat.eq(0)]
        with m.Elif(results.valid & results.ready):
            m.d.sync += [large.eq(reached & ~beat.last), flat.eq(flat | (beat.last & ~reached))]
        watches = self.engine.done & (c.operation == VectorOperation.SOFTMAX)
        for flag in range(FLAGS):
            with m.If(watches & (c.a_left == flag + 1)):
                m.d.sync += self.flags[flag].eq(flat)

    def _join(
        self, m: Module, c: data.View, chosen: Signal, uses: list["_Use"], unpacker_a: Unpacker, unpacker_b: Unpacker, packer: Packer
    ) -> None:
        """Send the operands through the operation's block, from and to registers: the blocks are far from each other."""
        beats = beat_layout(self._p.lanes)
        m.submodules.beats_a = beats_a = Skid(beats)
        m.submodules.beats_b = beats_b = Skid(beats)
        m.submodules.results = results = Skid(beats)
        connect(m, unpacker_a.beats, beats_a.i)
        connect(m, unpacker_b.beats, beats_b.i)
        connect(m, results.o, packer.beats)
        valid, ready_a, ready_b, mine = (Signal(len(uses), name=name) for name in ("valid", "ready_a", "ready_b", "mine"))
        m.d.sync += mine.eq(Cat(Cat(chosen[operation] for operation in use.operations).any() for use in uses))
        for i, use in enumerate(uses):
            for sink, source, ready in ((use.a, beats_a.o, ready_a), (use.b, beats_b.o, ready_b)):
                if sink is not None:
                    m.d.comb += [value.eq(of) for value, of in zip(sink.payload.values, source.payload.values, strict=True)]
                    m.d.comb += [sink.payload.keep.eq(source.payload.keep), sink.payload.last.eq(source.payload.last)]
                    m.d.comb += [sink.valid.eq(source.valid & mine[i]), ready[i].eq(sink.ready & mine[i])]
            m.d.comb += [valid[i].eq(use.o.valid & mine[i]), use.o.ready.eq(results.i.ready)]
            for name, value in _parameters(c, chosen, use.operations):
                m.d.sync += use.block.parameters[name].eq(value)
        payloads = [use.o.payload.as_value() for use in uses]
        m.d.comb += [beats_a.o.ready.eq(ready_a.any()), beats_b.o.ready.eq(ready_b.any())]
        m.d.comb += [results.i.valid.eq(valid.any()), results.i.payload.as_value().eq(select_one_hot(mine, payloads))]


@dataclass(frozen=True)
class _Use:
    """A block and the operations that it is for. a, b, o: its streams of rows."""

    operations: tuple[VectorOperation, ...]
    block: Any
    a: Any
    b: Any
    o: Any


def _parameters(c: data.View, chosen: Value, operations: tuple[VectorOperation, ...]) -> Iterator[tuple[str, Value]]:
    """The scalars of a block that does these operations; zero are those that the chosen one has not."""
    fields: dict[str, list[tuple[Value, Value]]] = {}
    for operation in operations:
        for field, name in VECTOR_SCALARS[operation].items():
            fields.setdefault(name, []).append((chosen[operation], c[field]))
    return ((name, select_one_hot(*zip(*pairs, strict=True))) for name, pairs in fields.items())
