"""Energy of commands, and rows that they found open."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...rtl.arch.dram import Command, Dram

_C = Command
_ON_BUS = (_C.RD, _C.WR, _C.WRGB, _C.WRMAC, _C.RDMAC)


@dataclass(frozen=True, kw_only=True)
class Energies:
    """Picojoules. row: opening and closing a KiB of a row in one bank. array: a bit between open row and bank's edge. bus: a bit from there
    to the controller, or back. mac: a product and its addition. refresh: in one bank, as so many rows.

    The values are assumptions, of the order of what is published for HBM2 and GDDR6, and none of a chip's data sheet. Left out are what
    the chip takes when it does nothing, and the accelerator.
    """

    row: float = 900
    array: float = 1.5
    bus: float = 2.0
    mac: float = 0.3
    refresh: float = 4


def bank_columns(counts: Mapping[Command, int], dram: Dram) -> int:
    """Columns that banks read or wrote."""
    return sum(counts.get(command, 0) for command in (_C.RD, _C.WR, _C.MAC, _C.RDCP, _C.WRCP)) + counts.get(_C.MACA, 0) * dram.banks


def rows_opened(counts: Mapping[Command, int], dram: Dram) -> int:
    return counts.get(_C.ACT, 0) + counts.get(_C.ACTA, 0) * dram.banks


def bus_bytes(counts: Mapping[Command, int], dram: Dram) -> int:
    """On the data buses of the channels."""
    return sum(counts.get(command, 0) for command in _ON_BUS) * dram.column_bytes


def energy(counts: Mapping[Command, int], dram: Dram, refreshes: float, of: Energies) -> Mapping[str, float]:
    """Joules by what they are spent on. refreshes: of a channel's banks each. MACs are of int8."""
    bits = 8 * dram.column_bytes
    row = of.row * dram.row_bytes / 1024
    macs = (counts.get(_C.MACA, 0) * dram.banks + counts.get(_C.MAC, 0)) * dram.column_bytes
    picojoules = {
        "rows": rows_opened(counts, dram) * row,
        "arrays": bank_columns(counts, dram) * bits * of.array,
        "buses": 8 * bus_bytes(counts, dram) * of.bus,
        "MACs": macs * of.mac,
        "refreshes": refreshes * dram.banks * of.refresh * row,
    }
    return {name: value * 1e-12 for name, value in picojoules.items()}
