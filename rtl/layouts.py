"""Amaranth layouts of the records in rtl/arch."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from .arch.record import Record


def record_layout(record: Record) -> data.StructLayout:
    return data.StructLayout({f.name: signed(f.bits) if f.signed else unsigned(f.bits) for f in record.fields})
