"""What goes over a channel's pins, and what its scheduler is asked for."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Command, Dram, command_record
from ..layouts import record_layout

CHANNEL_BITS = 5  # of a channel's number
LANE_BITS = 6  # of a byte's number in a column


def of_kind(command: Value, kinds: frozenset[Command] | set[Command]) -> Value:
    """Whether a command is one of these."""
    return command.matches(*sorted(kinds))


def given_layout(dram: Dram) -> data.StructLayout:
    """A command without its columns, decoded: a bit for each Command, and one for each bank that it goes to, if it goes to any."""
    return data.StructLayout({"kinds": len(Command), "at_bank": dram.banks, "row": range(max(dram.rows, 16))})


def is_one_of(given: data.View, kinds: Iterable[Command]) -> Value:
    """As `of_kind`, of a decoded command."""
    return Cat(given.kinds[kind] for kind in sorted(kinds)).any()


def command_layout(dram: Dram) -> data.StructLayout:
    """As on the pins."""
    return record_layout(command_record(dram))


def operation_layout(dram: Dram) -> data.StructLayout:
    """``count`` column commands that follow each other through `column` and `buffer`, in one row. ordinary: whose data these are."""
    members = dict(command_layout(dram).members)
    return data.StructLayout({**members, "count": range(max(dram.columns, dram.buffer_columns) + 1), "ordinary": 1})


def write_layout(dram: Dram) -> data.StructLayout:
    """A burst to write. scatters: its first bytes instead, one to each bank, each to byte `lane` of a burst."""
    return data.StructLayout({"data": 8 * dram.column_bytes, "mask": dram.column_bytes, "scatters": 1, "lane": LANE_BITS})


def read_layout(dram: Dram) -> data.StructLayout:
    """missing: the DRAM gave nothing."""
    return data.StructLayout({"data": 8 * dram.column_bytes, "missing": 1})


class Dfi(wiring.Signature):
    """A channel's pins, as its controller sees them: a command a cycle, NOP where there is none; a burst of the data bus is one value.

    write_data, write_mask: of a WR, WRGB or WRMAC, `cwl` cycles behind it; bytes with a mask bit are left as they are. read_data,
    read_valid: of a RD or RDMAC, `cl` cycles behind it.
    """

    def __init__(self, dram: Dram) -> None:
        bits = 8 * dram.column_bytes
        super().__init__(
            {
                "command": Out(command_layout(dram)),
                "write_data": Out(bits),
                "write_mask": Out(dram.column_bytes),
                "read_data": In(bits),
                "read_valid": In(1),
            }
        )
