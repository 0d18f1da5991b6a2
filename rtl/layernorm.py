"""LayerNorm in one pass (model and method: sw/golden/layernorm.py).

rows -> fork -> row buffer ---------------------------> normalise, gamma, beta -> out
           \\-> sums -> variance -> 1 / sqrt(variance) -/
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch import blocks
from .arch.blocks import LAYERNORM_Z_FRACTION_BITS, RowParameters
from .arch.tables import RSQRT, RSQRT_FRACTION_BITS, RSQRT_MANTISSA_BITS
from .delay import delay
from .elements import ELEMENT, beat_layout
from .layouts import record_layout
from .leading import leading_one
from .requantizer import Requantizer, Rounder
from .streams import Pipelined, Queue
from .table import TableLookup

COUNT_BITS = 14  # 8,192 elements
SUM = signed(16 + 13 + 1)
SQUARES_BITS = 30 + 13 + 1
VARIANCE_BITS = SQUARES_BITS + COUNT_BITS + 1
Z_BITS = 24

_ROW = data.StructLayout({"count": COUNT_BITS, "sum": SUM, "squares": SQUARES_BITS})
_FACTOR = data.StructLayout({"count": COUNT_BITS, "sum": SUM, "rsqrt": RSQRT.base_bits, "shift": 6})
_AFFINE = data.StructLayout({"gamma": ELEMENT, "beta": ELEMENT})


class _RowFactor(wiring.Component):
    """The sums of a row to the factor 1 / sqrt(count * squares - sum**2 + epsilon)."""

    latency = 4 + TableLookup.latency

    def __init__(self) -> None:
        super().__init__({"i": In(_ROW), "o": Out(_FACTOR), "parameters": In(record_layout(blocks.LAYERNORM))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rsqrt = rsqrt = TableLookup(RSQRT)
        mean_square, square_mean = Signal(VARIANCE_BITS, reset_less=True), Signal(VARIANCE_BITS, reset_less=True)
        variance = Signal(VARIANCE_BITS, reset_less=True)
        leading = leading_one(m, variance, "leading")
        position, held = Signal.like(leading, reset_less=True), Signal(VARIANCE_BITS, reset_less=True)
        index = Signal(RSQRT.input_bits, reset_less=True)
        # the RSQRT_MANTISSA_BITS bits below the leading one
        justified = (held << (VARIANCE_BITS - 1 - position)[: len(position)])[VARIANCE_BITS - 1 - RSQRT_MANTISSA_BITS : VARIANCE_BITS - 1]
        shift = Signal(6, reset_less=True)
        difference = mean_square - square_mean + self.parameters.epsilon
        m.d.sync += [
            mean_square.eq(self.i.count * self.i.squares),
            square_mean.eq(self.i.sum * self.i.sum),
            variance.eq(Mux(difference == 0, 1, difference)),
            position.eq(leading),
            held.eq(variance),
            index[:RSQRT_MANTISSA_BITS].eq(justified),
            index[RSQRT_MANTISSA_BITS].eq(position[0]),
            shift.eq((position >> 1) + RSQRT_FRACTION_BITS - LAYERNORM_Z_FRACTION_BITS),
        ]
        m.d.comb += [
            rsqrt.i.eq(index),
            self.o.rsqrt.eq(rsqrt.o),
            self.o.shift.eq(delay(m, shift, TableLookup.latency)),
            self.o.count.eq(delay(m, self.i.count, self.latency)),
            self.o.sum.eq(delay(m, self.i.sum, self.latency)),
        ]
        return m


class _Normalise(wiring.Component):
    """Elements, the row's factor, gamma and beta to the result."""

    latency = 1 + Requantizer.latency + 2 + Rounder.latency

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        operands = data.StructLayout({"beat": beat_layout(lanes), "factor": _FACTOR, "affine": data.ArrayLayout(_AFFINE, lanes)})
        super().__init__({"i": In(operands), "o": Out(beat_layout(lanes)), "parameters": In(record_layout(blocks.LAYERNORM))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, beat, factor = self.parameters, self.i.beat, self.i.factor
        for lane in range(self._lanes):
            m.submodules[f"to_z{lane}"] = to_z = Requantizer(
                COUNT_BITS + ELEMENT.width + 1, multiplier_bits=RSQRT.base_bits, out_bits=Z_BITS
            )
            m.submodules[f"to_out{lane}"] = to_out = Rounder(48)
            affine = delay(m, self.i.affine[lane].as_value(), 1 + Requantizer.latency)
            gamma, beta = affine[:16].as_signed(), affine[16:].as_signed()
            scaled, offset = delay(m, to_z.o * gamma, 1), delay(m, beta << p.beta_shift[:5], 1)
            m.d.comb += [
                to_z.i.value.eq(delay(m, factor.count * beat.values[lane] - factor.sum, 1)),
                to_z.i.multiplier.eq(delay(m, factor.rsqrt, 1)),
                to_z.i.shift.eq(delay(m, factor.shift, 1)),
                to_out.i.value.eq(delay(m, scaled + offset, 1)),
                to_z.low.eq(-(1 << (Z_BITS - 1))),
                to_z.high.eq((1 << (Z_BITS - 1)) - 1),
                to_out.i.shift.eq(p.shift),
                to_out.zero_point.eq(p.out_zero_point),
                to_out.low.eq(p.low),
                to_out.high.eq(p.high),
                self.o.values[lane].eq(to_out.o),
            ]
        m.d.comb += [self.o.keep.eq(delay(m, beat.keep, self.latency)), self.o.last.eq(delay(m, beat.last, self.latency))]
        return m


class LayerNorm(wiring.Component):
    """LayerNorm of each row, ``lanes`` elements per cycle, rows of 1 to ``row_elements`` elements.

    Members
    -------
    i, o: rows. parameters: as LayerNormParameters; constant while rows are under way.
    affine: gamma as one packet, then beta as another, both as long as a row. Rows wait until both are in.
    reload: forget gamma and beta.
    """

    def __init__(self, parameters: RowParameters) -> None:
        self._p = parameters
        beats = stream.Signature(beat_layout(parameters.lanes))
        super().__init__(
            {"i": In(beats), "affine": In(beats), "reload": In(1), "parameters": In(record_layout(blocks.LAYERNORM)), "o": Out(beats)}
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return _RowFactor.latency + _Normalise.latency + 3 * Queue.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._p.lanes
        row_beats = -(-self._p.row_elements // lanes)
        factor, normalise = _RowFactor(), _Normalise(lanes)
        for datapath in (factor, normalise):
            m.d.comb += datapath.parameters.eq(self.parameters)
        m.submodules.row_factor = factors = Pipelined(factor)
        m.submodules.normalise = back = Pipelined(normalise)
        # Room for the longest row, and for the next row's head while the factor is computed.
        m.submodules.rows = rows = Queue(beat_layout(lanes), depth=row_beats + 32)
        m.submodules.sums = sums = Queue(_ROW, depth=3)
        connect(m, sums.o, factors.i)

        beat = self.i.payload
        taken = self.i.valid & rows.i.ready & sums.i.ready
        running, following = Signal(_ROW), Signal(_ROW)
        kept = [Mux(beat.keep[i], beat.values[i], 0) for i in range(lanes)]
        m.d.comb += [
            following.count.eq(running.count + sum(beat.keep[i] for i in range(lanes))),
            following.sum.eq(running.sum + sum(kept)),
            following.squares.eq(running.squares + sum(v * v for v in kept)),
            self.i.ready.eq(taken),
            rows.i.valid.eq(taken),
            rows.i.payload.eq(beat),
            sums.i.valid.eq(taken & beat.last),
            sums.i.payload.eq(following),
        ]
        with m.If(taken):
            m.d.sync += running.eq(following)
            with m.If(beat.last):
                m.d.sync += running.eq(0)

        affine, affine_loaded, next_column = self._affine(m, row_beats)
        column = Signal(range(row_beats))
        # The memory is read for the beat that will be given next.
        usable = rows.o.valid & factors.o.valid & affine_loaded
        given = usable & back.i.ready
        m.d.comb += [
            next_column.eq(Mux(given, Mux(rows.o.payload.last, 0, column + 1), column)),
            back.i.payload.beat.eq(rows.o.payload),
            back.i.payload.factor.eq(factors.o.payload),
            back.i.payload.affine.eq(affine),
            back.i.valid.eq(usable),
            rows.o.ready.eq(given),
            factors.o.ready.eq(given & rows.o.payload.last),
        ]
        m.d.sync += column.eq(next_column)
        connect(m, flipped(self.o), back.o)
        return m

    def _affine(self, m: Module, row_beats: int) -> tuple[data.View, Signal, Signal]:
        """The memory of gamma and beta: its read data, whether it is loaded, and its read address."""
        lanes = self._p.lanes
        half = data.ArrayLayout(ELEMENT, lanes)
        m.submodules.gammas = gammas = memory.Memory(shape=half, depth=row_beats, init=[])
        m.submodules.betas = betas = memory.Memory(shape=half, depth=row_beats, init=[])
        loaded, loading_beta, at = Signal(), Signal(), Signal(range(row_beats))
        usable, address = Signal(), Signal(range(row_beats))
        beat = self.affine.payload
        taken = self.affine.valid & self.affine.ready
        m.d.comb += self.affine.ready.eq(~loaded)
        m.d.sync += usable.eq(loaded & ~self.reload)  # a cycle later: the first read must follow the last write
        result = Signal(data.ArrayLayout(_AFFINE, lanes))
        for table, enable, field in ((gammas, ~loading_beta, "gamma"), (betas, loading_beta, "beta")):
            write, read = table.write_port(), table.read_port()
            m.d.comb += [write.addr.eq(at), write.en.eq(taken & enable), write.data.eq(beat.values), read.addr.eq(address)]
            m.d.comb += [result[i][field].eq(read.data[i]) for i in range(lanes)]
        with m.If(self.reload):
            m.d.sync += [loaded.eq(0), loading_beta.eq(0), at.eq(0)]
        with m.Elif(taken):
            m.d.sync += at.eq(Mux(beat.last, 0, at + 1))
            with m.If(beat.last):
                m.d.sync += [loading_beta.eq(~loading_beta), loaded.eq(loading_beta)]
        return result, usable, address
