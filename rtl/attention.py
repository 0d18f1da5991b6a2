"""Streaming attention: scores and values of keys to the weighted mean of the values (model and method: sw/golden/attention.py).

scores -> softmax's front -> keys ----\\
               \\                        values * weights -> running totals -> scale -> out
                \\-> factors ------------------------------------------------/
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from .accumulators import Accumulators, recently
from .arch.attention import AttentionCircuit
from .arch.blocks import BlockError
from .arch.formats import INT8
from .arch.softmax import BELOW_BITS, COARSE_BITS
from .delay import delay, lane_copy
from .elements import beat_layout, element_shape
from .layouts import parameter_port, parameter_values, record_layout
from .multiplier import multiply, product_latency
from .requantizer import Rounder
from .rounding import shift_field
from .skid import Skid
from .softmax_front import SoftmaxFront, bytes_down, factor_layout, limited
from .streams import Pipelined, Queue

VALUE = signed(9)  # less its zero point


def _total_bits(circuit: AttentionCircuit) -> int:
    """Of a running total: the fraction, a mantissa below 2 in the highest of 8 places, a value, all keys, the sign."""
    return circuit.total_fraction_bits + 1 + 7 + 8 + ceil_log2(circuit.row_elements) + 1


def _scale_latency(circuit: AttentionCircuit) -> int:
    return 2 + product_latency(signed(_total_bits(circuit)), unsigned(circuit.weight_bits)) + Rounder.latency


class _Scale(wiring.Component):
    """Totals times the row's factor, rounded."""

    def __init__(self, circuit: AttentionCircuit, factor: data.StructLayout) -> None:
        self._circuit = circuit
        totals = data.ArrayLayout(signed(_total_bits(circuit)), circuit.lanes)
        operands = data.StructLayout({"totals": totals, "keep": circuit.lanes, "last": 1, "factor": factor})
        super().__init__(
            {
                "i": In(operands),
                "o": Out(beat_layout(circuit.lanes, element_shape(circuit.out))),
                "parameters": In(record_layout(circuit.record)),
            }
        )

    @property
    def latency(self) -> int:
        return _scale_latency(self._circuit)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit, precision = self._circuit, self._circuit.weights.precision
        dropped = precision.weight_bits - circuit.weight_bits
        extra = circuit.total_fraction_bits - precision.mantissa_bits - dropped
        # Behind a register, since the factors lie in a block memory.
        weight, shift = delay(m, self.i.factor.weight[dropped:], 1), shift_field(delay(m, self.i.factor.shift, 1) + extra)
        shift = delay(m, shift, self.latency - Rounder.latency - 1)
        for lane in range(circuit.lanes):
            own_weight = lane_copy(m, weight, delay(m, self.i.keep[lane], 1))
            product = multiply(m, delay(m, self.i.totals[lane], 2), own_weight, name=f"product_{lane}")
            m.submodules[f"rounder_{lane}"] = rounder = Rounder(len(product), out_bits=circuit.out.bits)
            m.d.comb += [
                rounder.i.value.eq(product),
                rounder.i.shift.eq(shift),
                rounder.zero_point.eq(self.parameters.out_zero_point),
                rounder.low.eq(self.parameters.low),
                rounder.high.eq(self.parameters.high),
                self.o.values[lane].eq(rounder.o ^ circuit.out.offset),
            ]
        m.d.comb += [self.o.keep.eq(delay(m, self.i.keep, self.latency)), self.o.last.eq(delay(m, self.i.last, self.latency))]
        return m


class Attention(wiring.Component):
    """The mean of a row's values, weighted with the softmax of its scores; ``lanes`` elements of a value per cycle.

    A key takes as many cycles as its value has beats, at least four; the next row's keys follow at once.

    fixed: values of the run-time parameters, as AttentionParameters, that are built in.

    Members
    -------
    scores: rows of one score a beat, in the circuit's format. values: for each score a packet of int8, all of one length.
    o: for each row a packet of that length. parameters: as AttentionParameters; constant while rows are under way.
    errors: BlockError bits of the rows that have been dropped since ``clear``: of wrong scores, or values of wrong lengths. A last value
    of a wrong length is too late to drop its row.
    """

    def __init__(self, circuit: AttentionCircuit, fixed: Mapping[str, int] | None = None) -> None:
        self._circuit, self._fixed = circuit, fixed
        self._front = SoftmaxFront(circuit.weights, fixed)
        self._factor = factor_layout(circuit.weights, self._front.reference_shape)
        super().__init__(
            {
                "scores": In(stream.Signature(beat_layout(1, element_shape(circuit.source)))),
                "values": In(stream.Signature(beat_layout(circuit.lanes, element_shape(INT8)))),
                "o": Out(stream.Signature(beat_layout(circuit.lanes, element_shape(circuit.out)))),
                "errors": Out(len(BlockError)),
                "clear": In(1),
                **parameter_port(circuit.record, fixed),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last score to its first result when nothing waits."""
        return 1 + self._front.factor_latency + 2 * Queue.latency + _scale_latency(self._circuit)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit, front = self._circuit, self._front
        parameters = parameter_values(self, circuit.record, self._fixed)
        element = front.stored.elements[0].shape()
        key = data.StructLayout({"element": element, "reference": front.reference_shape, "first": 1, "last": 1, "bad": 1})
        depth = front.latency + 8
        m.submodules.front = front
        m.submodules.keys = keys = Queue(key, depth=depth)
        # A row for each key that waits, and for those whose values are on their way.
        m.submodules.factors = factors = Queue(self._factor, depth=depth + front.factor_latency)
        for name in ("multiplier", "shift", "out_multiplier", "out_shift"):
            m.d.comb += front.parameters[name].eq(parameters[name])
        score_faults = self._weigh(m, parameters, keys, factors)
        value_faults = self._sum(m, parameters, keys, factors)
        with m.If(self.clear):
            m.d.sync += self.errors.eq(score_faults | value_faults)
        with m.Else():
            m.d.sync += self.errors.eq(self.errors | score_faults | value_faults)
        return m

    def _weigh(self, m: Module, parameters: data.View, keys: Queue, factors: Queue) -> Value:
        """Send the scores through softmax's front; the faults of a row as it ends."""
        circuit, front, beat = self._circuit, self._front, self.scores.payload
        refused = (parameters.multiplier == 0) | (parameters.out_multiplier == 0)
        before = Signal(range(circuit.row_elements + 1))  # keys of this row before this one
        faults, found = Signal(len(BlockError)), Signal(len(BlockError))
        first, taken = before == 0, self.scores.valid & self.scores.ready
        nothing = first & beat.last & ~beat.keep
        m.d.comb += found.eq(
            Mux(first, 0, faults)
            | Mux(beat.keep, 0, BlockError.EMPTY.value)
            | Mux(before == circuit.row_elements, BlockError.LONG.value, 0)
            | Mux(first & refused, BlockError.PARAMETER.value, 0)
        )
        with m.If(taken):
            m.d.sync += [faults.eq(found), before.eq(Mux(beat.last, 0, before + (before != circuit.row_elements)))]
        m.d.comb += front.valid.eq(delay(m, taken & ~nothing, 1, reset_less=False))
        for signal, value in ((front.i, beat), (front.first, first)):
            m.d.comb += signal.eq(delay(m, Value.cast(value), 1))
        last, bad = delay(m, beat.last, 1), delay(m, found.any(), 1)

        key = keys.i.payload
        m.d.comb += [
            keys.i.valid.eq(delay(m, front.valid, front.latency, reset_less=False)),
            key.element.eq(front.stored.elements[0]),
            key.reference.eq(front.stored.reference),
            key.first.eq(delay(m, front.first, front.latency)),
            key.last.eq(delay(m, last, front.latency)),
            key.bad.eq(delay(m, bad, front.latency)),
            factors.i.valid.eq(delay(m, front.valid & last, front.factor_latency, reset_less=False)),
            factors.i.payload.eq(front.factor),
        ]
        places = Signal(range(keys.depth + 1), init=keys.depth)
        freed = delay(m, keys.o.valid & keys.o.ready, 1, reset_less=False)
        m.d.sync += places.eq(places - front.valid + freed)
        m.d.comb += self.scores.ready.eq(places >= 2)  # one of them may be taken by the score that is about to enter the front
        return Mux(taken & beat.last, found, 0)

    def _sum(self, m: Module, parameters: data.View, keys: Queue, factors: Queue) -> Value:
        """Add the weighted values up, and scale the totals; the faults of a value as it ends."""
        circuit = self._circuit
        beats = -(-circuit.head_elements // circuit.lanes)
        scale = _Scale(circuit, self._factor)
        m.submodules.scale = scaled = Pipelined(scale)
        connect(m, flipped(self.o), scaled.o)
        m.d.comb += scale.parameters.eq(parameters)

        moves, taken = Signal(), Signal()
        m.submodules.pipeline = EnableInserter(moves)(pipeline := Module())
        key, beat = keys.o.payload, self.values.payload
        column, width = Signal(range(beats + 1)), Signal(range(beats + 1))
        kept = Signal()  # the row has been well formed up to this value
        fault = Mux(column == beats, BlockError.LONG.value, Mux(beat.last & ~key.first & (column != width), BlockError.EMPTY.value, 0))
        well = Signal()
        m.d.comb += [
            self.values.ready.eq(keys.o.valid & moves & ~recently(pipeline, column, taken)),
            taken.eq(self.values.valid & self.values.ready),
            keys.o.ready.eq(taken & beat.last),
            well.eq(Mux(key.first & (column == 0), 1, kept) & ~key.bad),
        ]
        with m.If(taken):
            m.d.sync += [column.eq(Mux(beat.last, 0, column + (column != beats))), kept.eq(well & (key.last | (fault == 0)))]
            with m.If(key.first & beat.last):
                m.d.sync += width.eq(column)
        emitted = {"emit": well & (beat.last | (column != beats)), "keep": beat.keep, "last": beat.last}
        totals = self._totals(m, pipeline, parameters, key, beat, column, taken)

        # A last key's totals wait for the row's factor; the pipeline is large, so a register enables it.
        cycles = self._totals_latency
        done = {"totals": totals, **{name: delay(pipeline, value, cycles) for name, value in emitted.items()}}
        m.submodules.skid = skid = Skid(data.StructLayout({name: value.shape() for name, value in done.items()}))
        ended = skid.o.payload
        passes = factors.o.valid & (scaled.i.ready | ~ended.emit)
        m.d.comb += [
            moves.eq(skid.i.ready),
            skid.i.valid.eq(delay(pipeline, taken & key.last, cycles, reset_less=False)),
            *(skid.i.payload[name].eq(value) for name, value in done.items()),
            skid.o.ready.eq(passes),
            factors.o.ready.eq(skid.o.valid & passes & ended.last),
            scaled.i.valid.eq(skid.o.valid & factors.o.valid & ended.emit),
            *(scaled.i.payload[name].eq(ended[name]) for name in ("totals", "keep", "last")),
            scaled.i.payload.factor.eq(factors.o.payload),
        ]
        return Mux(taken & beat.last, fault, 0)

    @property
    def _product_latency(self) -> int:
        return product_latency(VALUE, unsigned(self._circuit.weights.precision.mantissa_bits + 1))

    @property
    def _totals_latency(self) -> int:
        return 2 + self._product_latency + 2 + Accumulators.latency

    def _totals(
        self, m: Module, pipeline: Module, parameters: data.View, key: data.View, beat: data.View, column: Value, taken: Value
    ) -> data.View:
        """The running totals, `_totals_latency` cycles of the pipeline after the value's beat."""
        circuit, precision = self._circuit, self._circuit.weights.precision
        total = signed(_total_bits(circuit))
        cycles = 2 + self._product_latency + 2
        before = Signal(self._front.reference_shape, reset_less=True)  # the last key's reference
        with m.If(taken & beat.last):
            m.d.sync += before.eq(key.reference)
        rise = (delay(pipeline, key.reference, 1) - delay(pipeline, before, 1))[: len(before)]
        rise = delay(pipeline, limited(rise), cycles - 2)
        fine = delay(pipeline, key.element.fine, 2 + self._product_latency)
        below = delay(pipeline, key.element.below, 3 + self._product_latency)
        operand = data.StructLayout(
            {name: data.ArrayLayout(shape, circuit.lanes) for name, shape in (("terms", total), ("rise", BELOW_BITS))}
        )
        pipeline.submodules.totals = totals = Accumulators(
            total,
            operand,
            lambda old, new, lane: bytes_down(old, new.rise[lane][:2]) + new.terms[lane],
            prepare=lambda old, new, lane: bytes_down(old, new.rise[lane] & 4),
            lanes=circuit.lanes,
            depth=max(2, -(-circuit.head_elements // circuit.lanes)),
        )
        extra = circuit.total_fraction_bits - precision.mantissa_bits
        for lane in range(circuit.lanes):
            value = Signal(VALUE, name=f"value_{lane}", reset_less=True)
            pipeline.d.sync += value.eq(delay(pipeline, beat.values[lane], 1) - parameters.value_zero_point)
            mantissa = lane_copy(pipeline, delay(pipeline, key.element.mantissa, 1), delay(pipeline, beat.keep[lane], 1))
            product = multiply(pipeline, value, mantissa, name=f"weighted_{lane}")
            placed = Signal(signed(len(product) + (1 << COARSE_BITS) - 1), name=f"placed_{lane}", reset_less=True)
            term = Signal(total, name=f"term_{lane}", reset_less=True)
            pipeline.d.sync += [
                placed.eq(product << fine),
                term.eq(bytes_down(Cat(Const(0, extra), placed).as_signed(), below)),
            ]
            pipeline.d.comb += [
                totals.operand.terms[lane].eq(term),
                totals.operand.rise[lane].eq(lane_copy(pipeline, rise, delay(pipeline, beat.keep[lane], cycles - 1))),
            ]
        pipeline.d.comb += [
            totals.address.eq(delay(pipeline, column, cycles)),
            totals.first.eq(delay(pipeline, key.first, cycles)),
            totals.valid.eq(delay(pipeline, taken, cycles, reset_less=False)),
        ]
        return totals.totals
