"""A block that rows of a memory are sent through: where they lie, the registers of what sends them, and what it refuses.

The rows lie one after the other from the memory's first byte on, their results from its middle on, each element in as many whole bytes as
it has, little endian. A row has ``row_elements`` elements, the last one perhaps fewer.
"""

import enum
from dataclasses import dataclass

from .blocks import BlockError
from .checks import power_of_two, require
from .registers import Access, BitField, Register, first_registers

IDENTITY = int.from_bytes(b"ROWS", "big")
MEMORY_BYTES = 1 << 16
WORD_BYTES = 4


class RowsError(enum.IntEnum):
    """Why a run ended without results; 0 when it did not."""

    NONE = 0
    ROW = 1  # a row of no element, or of more than fit
    ELEMENTS = 2  # no element, or more than fit
    BLOCK = 8  # and BlockError bits: the block dropped a row


@dataclass(frozen=True, kw_only=True)
class RowPlaces:
    """in_bytes, out_bytes: of an element and of a result, 1, 2 or 4. row_elements: of the longest row, 0 where the block has no limit."""

    in_bytes: int
    out_bytes: int
    row_elements: int = 0

    def __post_init__(self) -> None:
        for name in ("in_bytes", "out_bytes"):
            require(power_of_two(getattr(self, name)) and getattr(self, name) <= WORD_BYTES, name, "1, 2 or 4", getattr(self, name))

    @property
    def results(self) -> int:
        """Byte at which they begin."""
        return MEMORY_BYTES // 2

    @property
    def most_elements(self) -> int:
        """Of all rows of a run."""
        return MEMORY_BYTES // 2 // max(self.in_bytes, self.out_bytes)

    @property
    def longest_row(self) -> int:
        return min(self.row_elements or self.most_elements, self.most_elements)


_ERRORS = f"RowsError; where it is {RowsError.BLOCK.value} or more, {RowsError.BLOCK.value} and BlockError bits"
ROW_REGISTERS: tuple[Register, ...] = (
    *first_registers(
        "ROWS",
        start="Send the rows through the block; ignored while running",
        reset="Stop, and forget the error",
        running="Rows are under way",
        error="The last run ended with an error",
    ),
    Register("error", 0x18, Access.READ, _ERRORS, (BitField("code", 0, 4, _ERRORS),)),
    Register("row_elements", 0x1C, Access.WRITE, "Elements of a row; constant while running"),
    Register("elements", 0x20, Access.WRITE, "Elements of all rows; constant while running"),
    Register("cycles", 0x24, Access.READ, "Cycles of the last or current run"),
)
ROW_OFFSETS = {register.name: register.offset for register in ROW_REGISTERS}
ERROR_BITS = 4
assert RowsError.BLOCK | sum(BlockError) < 1 << ERROR_BITS
