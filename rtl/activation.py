"""GELU, SiLU, sigmoid, tanh, exp and erf (functions: rtl/arch/activation.py, model: sw/golden/activation.py)."""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .activation_lanes import FixedPointLanes, TableLanes
from .arch.activation import ActivationCircuit
from .arch.blocks import BlockError
from .delay import delay
from .elements import beat_layout, element_shape
from .layouts import parameter_port, parameter_values
from .skid import Skid


class Activation(wiring.Component):
    """One function of each element, ``lanes`` elements per cycle.

    fixed: what would be given at run time: for an int8 source the entries of the table, else ActivationParameters' values by name.

    Members
    -------
    i, o: rows of the circuit's formats.
    errors: why packets were dropped, as BlockError, until ``clear``: EMPTY, or PARAMETER when a multiplier was zero as the packet began.
    entries, reload (int8 source at run time): the results for -128..127, before the first row; ``reload`` forgets them.
    parameters (int16 source at run time): as ActivationParameters; constant while rows are under way.
    """

    def __init__(self, circuit: ActivationCircuit, fixed: Mapping[str, int] | Sequence[int] | None = None) -> None:
        self._circuit = circuit
        circuit.check_fixed(fixed)
        entries, self._fixed = fixed if isinstance(fixed, Sequence) else None, fixed if isinstance(fixed, Mapping) else None
        if circuit.tabulated:
            self._lanes = TableLanes(circuit, entries)
            run_time = {name: self._lanes.signature.members[name] for name in ("entries", "reload")} if fixed is None else {}
        else:
            self._lanes = FixedPointLanes(circuit)
            run_time = parameter_port(circuit.record, self._fixed)
        self._shape = beat_layout(circuit.lanes, element_shape(circuit.out))
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(circuit.lanes, element_shape(circuit.source)))),
                "o": Out(stream.Signature(self._shape)),
                "errors": Out(len(BlockError)),
                "clear": In(1),
                **run_time,
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result when nothing waits."""
        return self._lanes.latency + Skid.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, i = self._lanes, self.i.payload
        m.submodules.skid = skid = Skid(self._shape)
        running, usable, without_scale = skid.i.ready, Const(1, 1), Const(0, 1)
        m.d.comb += lanes.enable.eq(running)
        if isinstance(lanes, TableLanes):
            m.submodules.lanes = lanes
            usable = lanes.usable
            if "entries" in self.signature.members:
                connect(m, flipped(self.entries), lanes.entries)
                m.d.comb += lanes.reload.eq(self.reload)
        else:
            m.submodules.lanes = EnableInserter(running)(lanes)
            p = parameter_values(self, self._circuit.record, self._fixed)
            m.d.comb += lanes.parameters.eq(p)
            without_scale = (p.in_multiplier == 0) | (p.out_multiplier == 0)

        # The beat a cycle later, from registers: what becomes of it, and errors.
        valid, first, dropping = Signal(), Signal(init=1), Signal()
        keep, last = Signal.like(i.keep, reset_less=True), Signal(reset_less=True)
        empty, unscaled = Signal(reset_less=True), Signal(reset_less=True)
        drops = (first & empty) | Mux(first, unscaled, dropping)
        under_way = Signal(lanes.latency - 1)
        passed = Cat(valid & ~drops, under_way)
        m.d.comb += [self.i.ready.eq(running & usable), lanes.i.eq(i.values)]
        with m.If(running):
            m.d.sync += [valid.eq(self.i.valid & usable), keep.eq(i.keep), last.eq(i.last), under_way.eq(passed)]
            m.d.sync += [empty.eq(i.last & ~i.keep.any()), unscaled.eq(without_scale)]
            with m.If(valid):
                m.d.sync += [first.eq(last), dropping.eq(drops)]
            end = delay(m, Cat(keep, last), lanes.latency - 1)
        for error, event in ((BlockError.EMPTY, empty), (BlockError.PARAMETER, unscaled)):
            bit = self.errors[error.bit_length() - 1]
            m.d.sync += bit.eq((bit & ~self.clear) | (running & valid & first & event))

        m.d.comb += [
            skid.i.valid.eq(passed[-1]),
            skid.i.payload.values.eq(lanes.o),
            Cat(skid.i.payload.keep, skid.i.payload.last).eq(end),
        ]
        connect(m, flipped(self.o), skid.o)
        return m
