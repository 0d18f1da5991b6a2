"""Macros as the operations that a channel's scheduler gets: each the column commands of one row."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ...rtl.arch.dram import Command, Dram
from ...rtl.arch.pim import COMMANDS, OF_ACCUMULATORS, Macro

_SINGLE = {Macro.SET_MODE, Macro.ACTIVATE}


class Operation(NamedTuple):
    """``columns`` commands. macro: the first operation of a macro."""

    command: Command
    bank: int
    row: int
    columns: int
    macro: bool = True


def operations(dram: Dram, macros: Iterable[tuple[Macro, Mapping[str, int]]]) -> Iterator[Operation]:
    """Of a channel that does all of the macros, whose fields are those of `MACRO`."""
    for macro, fields in macros:
        command = COMMANDS[macro]
        if macro in OF_ACCUMULATORS or macro in _SINGLE or macro is Macro.WRITE_BUFFER:
            count = dram.accumulator_columns if macro in OF_ACCUMULATORS else fields.get("count", 1)
            yield Operation(command, 0, 0, count)
            continue
        if macro is Macro.SCATTER:
            yield from (Operation(command, bank, fields["row"], 1, bank == 0) for bank in range(dram.banks))
            continue
        row, column, left, first = fields["row"], fields["column"], fields["count"], True
        while left:
            count = min(left, dram.columns - column)
            yield Operation(command, fields.get("bank", 0), row, count, first)
            row, column, left, first = row + 1, 0, left - count, False
