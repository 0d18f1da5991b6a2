"""Amaranth layouts of the records in rtl/arch, and the run-time parameters of a block."""

from collections.abc import Mapping

from amaranth.hdl import Const, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from .arch.record import Record


def record_layout(record: Record) -> data.StructLayout:
    return data.StructLayout({f.name: signed(f.bits) if f.signed else unsigned(f.bits) for f in record.fields})


def parameter_port(record: Record, fixed: Mapping[str, int] | None) -> dict[str, wiring.Member]:
    """The port ``parameters`` of a block; none where their values are ``fixed`` in the circuit, which the tools then simplify."""
    return {"parameters": In(record_layout(record))} if fixed is None else {}


def parameter_values(block: wiring.Component, record: Record, fixed: Mapping[str, int] | None) -> data.View:
    """The block's run-time parameters: its port, or the ``fixed`` values."""
    if fixed is None:
        return block.parameters  # pyright: ignore[reportAttributeAccessIssue] - the port that parameter_port made
    return data.View(record_layout(record), Const(record.pack(fixed), record.bits))
