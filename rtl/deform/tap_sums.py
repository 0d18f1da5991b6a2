"""What becomes of the taps of each pixel: weighted, summed and requantized, each channel by itself (model: sw/golden/deform.py)."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..adder_tree import add_pairs
from ..arch.deform import SAMPLE_BITS, DeformCircuit
from ..arch.parameters import MachineParameters
from ..arch.steps import CHANNEL, DEFORM
from ..delay import delay
from ..layouts import record_layout
from ..lut_multiplier import LATENCY as LUT_LATENCY
from ..lut_multiplier import multiply_in_luts
from ..multiplier import block_product, block_product_sum
from ..requantizer import Requantizer
from .group_loader import kernels_layout, weight_shape
from .layouts import WEIGHT_BITS
from .tap_reader import turn_layout

_PIXEL = signed(9)  # less its zero point
_SAMPLE = signed(_PIXEL.width + SAMPLE_BITS)  # the weights of a tap's points in one turn are no more than 1
_TOTAL_BITS = 33  # of a sum with its bias
_BLOCK_LATENCY = 2


class TapSums(wiring.Component):
    """Members
    -------
    command: while it is done. turn, turn_valid: of pixels, one after the other; a kernel's come with the same ``kernels`` and ``records``.
    kernels, records: of the turn with ``new_group`` and those behind it; taken in the cycles of ``kernels_taken`` and ``records_taken``.
    o, o_valid: the word of a pixel, `latency` cycles after its last turn.
    """

    def __init__(self, parameters: MachineParameters, circuit: DeformCircuit) -> None:
        self._p, self._c = parameters, circuit
        self._requantizers = [Requantizer(_TOTAL_BITS, out_bits=8, registered=True) for _ in range(parameters.word_bytes)]
        word = parameters.word_bytes
        super().__init__(
            {
                "command": In(record_layout(DEFORM)),
                "turn": In(turn_layout(circuit, word)),
                "turn_valid": In(1),
                "kernels": In(kernels_layout(parameters)),
                "records": In(data.ArrayLayout(record_layout(CHANNEL), word)),
                "records_taken": Out(1),
                "o": Out(8 * word),
                "o_valid": Out(1),
            }
        )

    @property
    def _to_samples(self) -> int:
        """Cycles from a turn to its samples."""
        return 1 + (_BLOCK_LATENCY + (self._c.copies - 1) + 1 if self._c.fractional else 0)

    @property
    def _to_sums(self) -> int:
        """Cycles from a turn to the sum over its taps, and those of the turn before."""
        product = LUT_LATENCY + 1 if self._in_luts else _BLOCK_LATENCY
        return self._to_samples + product + ceil_log2(self._c.taps) + (self._c.copies - 1)

    @property
    def latency(self) -> int:
        return self._to_sums + self._requantizers[0].latency

    @property
    def _in_luts(self) -> bool:
        """Narrow weights need no multiplier blocks, of which there are more taps than a small device has."""
        return self._p.weight_bits < 8

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, turn = self._c, self.turn
        swap = delay(m, self.turn_valid & turn.new_group, self._to_samples, reset_less=False)
        totals = []
        for lane in range(self._p.word_bytes):
            pixels = [[self._pixel(m, copy, t, lane) for copy in range(c.copies)] for t in range(c.taps)]
            samples = [self._sample(m, platform, of_copies, t, lane) for t, of_copies in enumerate(pixels)]
            products = [self._product(m, platform, sample, t, lane, swap) for t, sample in enumerate(samples)]
            totals.append(self._sum(m, products))
        self._requantize(m, totals)
        m.d.comb += self.o_valid.eq(delay(m, self.turn_valid & turn.last, self.latency, reset_less=False))
        return m

    def _pixel(self, m: Module, copy: int, tap: int, lane: int) -> Value:
        """Less its zero point, a cycle after its turn."""
        octet = self.turn.words[copy][tap].word_select(lane, 8).as_signed()
        pixel = Signal(_PIXEL, name=f"pixel{tap}_{copy}_{lane}", reset_less=True)
        m.d.sync += pixel.eq(Mux(self.turn.inside[copy][tap], octet - self.command.a_zero_point, 0))
        return pixel

    def _sample(self, m: Module, platform: object, pixels: Sequence[Value], tap: int, lane: int) -> Value:
        """The sum of a tap's weighted pixels."""
        if not self._c.fractional:
            return pixels[0]
        factors = [(pixel, delay(m, self.turn.weights[copy][tap], 1)) for copy, pixel in enumerate(pixels)]
        name = f"sample{tap}_{lane}"
        if len(factors) == 2:
            total = block_product_sum(m, platform, *factors, name=name)
        else:
            total = block_product(m, platform, *factors[0], name=name)
        sample, shift = Signal(_SAMPLE, name=name, reset_less=True), WEIGHT_BITS - SAMPLE_BITS
        m.d.sync += sample.eq((total + (1 << (shift - 1))) >> shift)
        return sample

    def _product(self, m: Module, platform: object, sample: Value, tap: int, lane: int, swap: Value) -> Value:
        weight, name = self.kernels[tap][lane], f"product{tap}_{lane}"
        if not self._in_luts:
            return block_product(m, platform, sample, weight, name=name, load=swap)
        held = Signal(weight_shape(self._p), name=f"weight{tap}_{lane}", reset_less=True)
        with m.If(swap):
            m.d.sync += held.eq(weight)
        return multiply_in_luts(m, delay(m, sample, 1), held, name=name)

    def _sum(self, m: Module, terms: list[Value]) -> Value:
        """Over the taps, and over the turns of a pixel."""
        width = max(len(term) for term in terms)
        terms = [term[:width].as_signed() for term in terms]
        while len(terms) > 1:
            terms, _ = add_pairs(m, terms if len(terms) % 2 == 0 else [*terms, Const(0, signed(len(terms[0])))])
        if self._c.copies == 1:
            return terms[0]
        first = delay(m, self.turn.first, self._to_sums - 1)
        total = Signal(signed(_TOTAL_BITS - 1), name="total", reset_less=True)
        valid = delay(m, self.turn_valid, self._to_sums - 1, reset_less=False)
        with m.If(valid):
            m.d.sync += total.eq(terms[0] + Mux(first, 0, total))
        return total

    def _requantize(self, m: Module, totals: Sequence[Value]) -> None:
        """The records are taken a cycle before they are needed."""
        command = self.command
        records = Signal.like(self.records, reset_less=True)
        m.d.comb += self.records_taken.eq(delay(m, self.turn_valid & self.turn.new_group, self._to_sums - 1, reset_less=False))
        with m.If(self.records_taken):
            m.d.sync += records.eq(self.records)
        for lane, (requantizer, total) in enumerate(zip(self._requantizers, totals, strict=True)):
            m.submodules[f"requantizer{lane}"] = requantizer
            m.d.comb += [
                requantizer.i.value.eq(total + records[lane].bias),
                *(requantizer.i[name].eq(records[lane][name]) for name in ("multiplier", "shift")),
                requantizer.zero_point.eq(command.out_zero_point),
                *(requantizer.low.eq(command.low), requantizer.high.eq(command.high)),
                self.o.word_select(lane, 8).eq(requantizer.o),
            ]
