"""A block with AXI4-Stream for its streams and AXI4-Lite for its parameters, its controls and its errors."""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Shape, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.checks import require
from .arch.parameters import VERSION
from .arch.record import Field, Record
from .arch.registers import block_identity, block_registers
from .control import ControlRegisters, axi4_lite_ports
from .flat_ports import connect_ports


class AxiStreamBlock(wiring.Component):
    """Any block of streams of beats (rtl/elements.py) or of single elements; all that is looked at is its signature. It adds no cycle.

    The block's errors are collected: ``clear`` is held, under which a block must show each error for a cycle.

    record: the block's run-time parameters, if it has any. streams: the block's, by name. registers: of the AXI4-Lite slave.

    Members
    -------
    aclk, aresetn: clock, and reset, synchronous and active low.
    s_axis_*, m_axis_*: the streams ``i`` and ``o``; s_axis_<name>_*, m_axis_<name>_*: the others. Element 0 lies in the lowest bytes of
    tdata; tkeep has a bit for each byte, and an element counts when all its bytes do. A stream of single elements has neither tkeep
    nor tlast.
    s_axil_*: AXI4-Lite slave with the registers in ``registers``; absent if there are none.
    """

    def __init__(self, block: wiring.Component, *, name: str) -> None:
        self._block, self._name = block, name
        others = dict(block.signature.members.items())
        self.streams = {n: others.pop(n) for n, member in [*others.items()] if _is_stream(member)}
        parameters = others.pop("parameters", None)
        self.record = Record(name, _fields(parameters.shape)) if parameters else None
        self._errors = "errors" in others
        rest = {n: member for n, member in others.items() if n not in ("errors", "clear")}
        self._controls = [n for n, m in rest.items() if m.is_port and m.flow is In and Shape.cast(m.shape).width == 1]
        odd = sorted(rest.keys() - self._controls)
        require(not odd, "a block's ports", "streams, parameters, inputs of one bit and errors", ", ".join(odd))
        self.registers = block_registers(name, self.record, controls=self._controls, errors=self._errors)
        ports = {"aclk": In(1), "aresetn": In(1)}
        for n, member in self.streams.items():
            ports |= {f"{stream_prefix(n, member)}_{part}": port for part, port in _stream_ports(member).items()}
        super().__init__({**ports, **(axi4_lite_ports() if self.registers else {})})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.d.comb += [sync.clk.eq(self.aclk), sync.rst.eq(~self.aresetn)]
        m.submodules.block = block = self._block
        for name, member in self.streams.items():
            self._join_stream(m, stream_prefix(name, member), member, getattr(block, name))
        if self.registers:
            m.submodules.control = control = ControlRegisters(self.registers)
            self._join_registers(m, block, control)
        return m

    def _join_stream(self, m: Module, prefix: str, member: wiring.Member, inner: Any) -> None:
        """Connect the flat ports to the block's stream."""
        outer = {part: getattr(self, f"{prefix}_{part}") for part in _stream_ports(member)}
        pairs = [(outer["tvalid"], inner.valid)]
        if _is_beat(member):
            beat, keep = inner.payload, outer["tkeep"]
            size = len(keep) // len(beat.keep)
            pairs += [(outer["tdata"], Value.cast(beat.values)), (outer["tlast"], beat.last)]
            if member.flow is In:
                m.d.comb += beat.keep.eq(Cat(keep[start : start + size].all() for start in range(0, len(keep), size)))
            else:
                m.d.comb += keep.eq(Cat(bit.replicate(size) for bit in beat.keep))
        else:
            pairs.append((outer["tdata"], Value.cast(inner.payload)))
        if member.flow is In:
            m.d.comb += [*(b.eq(a) for a, b in pairs), outer["tready"].eq(inner.ready)]
        else:
            m.d.comb += [*(a.eq(b) for a, b in pairs), inner.ready.eq(outer["tready"])]

    def _join_registers(self, m: Module, block: Any, control: Any) -> None:
        connect_ports(m, axi4_lite_ports(""), self, control, outer="s_axil_")
        m.d.comb += [control.identity.eq(block_identity(self._name)), control.version.eq(VERSION[0] << 16 | VERSION[1])]
        m.d.comb += [getattr(block, name).eq(getattr(control, name)) for name in self._controls]
        if self._errors:
            m.d.comb += [control.errors.eq(block.errors), block.clear.eq(1)]
        for field in self.record.fields if self.record else ():
            words = (field.name,) if field.bits <= 32 else (f"{field.name}_low", f"{field.name}_high")
            m.d.comb += block.parameters[field.name].eq(Cat(getattr(control, word) for word in words))


def stream_prefix(name: str, member: wiring.Member) -> str:
    """Of the ports of a block's stream ``name``, without the last underscore."""
    side = "s_axis" if member.flow is In else "m_axis"
    return side if name in ("i", "o") else f"{side}_{name}"


def elements_of(member: wiring.Member) -> tuple[Shape, int]:
    """Of a stream: an element's shape, and how many come at once."""
    payload: Any = member.signature.members["payload"].shape
    return (
        (Shape.cast(payload["values"].shape.elem_shape), payload["values"].shape.length) if _is_beat(member) else (Shape.cast(payload), 1)
    )


def _is_stream(member: wiring.Member) -> bool:
    return member.is_signature and isinstance(member.signature, stream.Signature)


def _is_beat(member: wiring.Member) -> bool:
    return isinstance(member.signature.members["payload"].shape, data.StructLayout)


def _stream_ports(member: wiring.Member) -> dict[str, wiring.Member]:
    """The flat ports of a stream without their prefix, as seen from outside."""
    forth, back = (In, Out) if member.flow is In else (Out, In)
    element, lanes = elements_of(member)
    width = element.width
    require(width % 8 == 0, "an element", "of whole bytes", f"{width} bits")
    beat = {"tkeep": forth(lanes * width // 8), "tlast": forth(1)} if _is_beat(member) else {}
    return {"tdata": forth(lanes * width), **beat, "tvalid": forth(1), "tready": back(1)}


def _fields(layout: Any) -> tuple[Field, ...]:
    return tuple(Field(name, Shape.cast(shape).width, Shape.cast(shape).signed) for name, shape in layout.members.items())
