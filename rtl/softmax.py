"""Single-pass softmax (model and method: sw/golden/softmax.py; Edge-MoE, arXiv 2305.18691).

scores -> front -> row memory -> scale -> out -> (sums of the columns)
               \\-> factors ----/
"""

from collections.abc import Mapping

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch.blocks import BlockError
from .arch.softmax import COARSE_BITS, SoftmaxCircuit
from .column_sums import SUM, ColumnSums
from .delay import delay, lane_copy
from .elements import beat_layout, element_shape
from .layouts import parameter_port, parameter_values, record_layout
from .multiplier import multiply, product_latency
from .requantizer import Rounder
from .rounding import shift_field
from .rowwise import Rowwise, back_ports
from .softmax_front import SoftmaxFront, factor_layout, limited, stored_layout


class _Back(wiring.Component):
    """Mantissas times the row's factor, rounded."""

    def __init__(self, circuit: SoftmaxCircuit, reference: Shape) -> None:
        self._circuit = circuit
        out = data.ArrayLayout(element_shape(circuit.out), circuit.lanes)
        ports = back_ports(stored_layout(circuit, reference), factor_layout(circuit, reference), out)
        super().__init__({**ports, "parameters": In(record_layout(circuit.record))})

    @property
    def _product_latency(self) -> int:
        p = self._circuit.precision
        return product_latency(unsigned(p.mantissa_bits + 1), unsigned(p.weight_bits))

    @property
    def latency(self) -> int:
        return 3 + self._product_latency + Rounder.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit, stored, factor = self._circuit, self.i.stored, self.i.factor
        rise = delay(m, limited((factor.reference - stored.reference)[: len(stored.reference)]), 1)
        weight, row_shift = delay(m, factor.weight, 1), delay(m, factor.shift, 1)
        for lane in range(circuit.lanes):
            element = stored.elements[lane]
            # weight * mantissa / 2**(row_shift - fine + 8 * (below + rise))
            steps = delay(m, limited(delay(m, element.below, 1) + rise), 1)
            partial = delay(m, row_shift - delay(m, element.fine, 1), 1)
            # A lane's copy of the weight, and a register more on the way to the multiplier, which lies where the device has it.
            own_weight = delay(m, lane_copy(m, weight, delay(m, self.i.keep[lane], 1)), 1)
            product = multiply(m, delay(m, element.mantissa, 3), own_weight, name=f"product_{lane}")
            m.submodules[f"rounder_{lane}"] = rounder = Rounder(len(product), out_bits=circuit.out.bits)
            m.d.comb += [
                rounder.i.value.eq(product),
                rounder.i.shift.eq(delay(m, shift_field(partial + (steps << COARSE_BITS)), 1 + self._product_latency)),
                rounder.zero_point.eq(self.parameters.out_zero_point),
                rounder.low.eq(self.parameters.low),
                rounder.high.eq(self.parameters.high),
                self.o[lane].eq(rounder.o ^ circuit.out.offset),
            ]
        return m


class Softmax(wiring.Component):
    """Softmax of each row, ``lanes`` elements per cycle, rows of 1 to ``row_elements`` elements.

    fixed: values of the run-time parameters, as SoftmaxParameters, that are built in.

    Members
    -------
    i, o: rows of the circuit's formats. parameters: as SoftmaxParameters; constant while rows are under way.
    sums: with column_sums, a row for each matrix: the sums of its columns, in output steps above the zero point (rtl/column_sums.py).
    errors: BlockError bits of the rows that have been dropped since ``clear``.
    """

    def __init__(self, circuit: SoftmaxCircuit, fixed: Mapping[str, int] | None = None) -> None:
        self._circuit, self._fixed = circuit, fixed
        self._front = SoftmaxFront(circuit, fixed)
        self._back = _Back(circuit, self._front.reference_shape)
        self._rows = Rowwise(circuit, self._front, self._back)
        lanes = circuit.lanes
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(lanes, element_shape(circuit.source)))),
                "o": Out(stream.Signature(beat_layout(lanes, element_shape(circuit.out)))),
                **({"sums": Out(stream.Signature(beat_layout(lanes, SUM)))} if circuit.column_sums else {}),
                "errors": Out(len(BlockError)),
                "clear": In(1),
                **parameter_port(circuit.record, fixed),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return self._rows.latency + (ColumnSums.latency if self._circuit.column_sums else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = self._rows
        circuit, parameters = self._circuit, parameter_values(self, self._circuit.record, self._fixed)
        connect(m, flipped(self.i), rows.i)
        results = rows.o
        if circuit.column_sums:
            beats = -(-circuit.row_elements // circuit.lanes)
            m.submodules.column_sums = columns = ColumnSums(circuit.lanes, element_shape(circuit.out), beats=beats)
            connect(m, rows.o, columns.i)
            connect(m, flipped(self.sums), columns.sums)
            row = Signal(16)  # of its matrix
            beat, last_row = rows.o.payload, row == parameters.rows - 1
            with m.If(rows.o.valid & rows.o.ready & beat.last):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            zero = parameters.out_zero_point + circuit.out.offset
            m.d.comb += [columns.begins.eq(row == 0), columns.gives.eq(last_row)]
            m.d.comb += [added.eq(value - zero) for added, value in zip(columns.added, beat.values, strict=True)]
            results = columns.o
        connect(m, flipped(self.o), results)
        m.d.comb += [
            self._front.parameters.eq(parameters),
            self._back.parameters.eq(parameters),
            rows.refuse.eq((parameters.multiplier == 0) | (parameters.out_multiplier == 0)),
            self.errors.eq(rows.errors),
            rows.clear.eq(self.clear),
        ]
        return m
