"""The PIM controller's macro instructions, each of many commands to the DRAM, and its errors."""

import enum

from .dram import Command
from .record import Field, Record

WINDOW = 4  # operations, each the column commands of one row, that a channel's scheduler opens rows for


class Macro(enum.IntEnum):
    """What the controller is told. Data of a macro follow each other on the streams ``write`` and ``read``, columns of `column_bytes`; of
    several macros in the macros' order."""

    SET_MODE = 0  # number format and activation function: `mode`
    WRITE_BUFFER = 1  # `count` columns to the global buffers from `buffer` on, the same to all channels
    WRITE_ACCUMULATORS = 2  # all banks': for each channel, in turn, `accumulator_columns` columns
    MAC_ALL = 3  # in all banks: `count` columns from `row` and `column` on, with as many of the global buffer from `buffer` on
    MAC_BANK = 4  # the same in `bank`
    ACTIVATE = 5  # the activation function of all accumulators
    READ_ACCUMULATORS = 6  # as WRITE_ACCUMULATORS
    COPY_TO_BUFFER = 7  # `count` columns of `bank` from `row` and `column` on to the global buffer from `buffer` on
    COPY_FROM_BUFFER = 8  # the reverse
    READ = 9  # `count` columns of `bank` from `row` and `column` on; for each channel in turn
    WRITE = 10  # the same data to all channels
    SCATTER = 11  # for each channel in turn a column of data, whose byte n goes to byte `buffer` of the place in bank n


# The column command, or MRS, that each is made of
COMMANDS = {
    Macro.SET_MODE: Command.MRS,
    Macro.WRITE_BUFFER: Command.WRGB,
    Macro.WRITE_ACCUMULATORS: Command.WRMAC,
    Macro.MAC_ALL: Command.MACA,
    Macro.MAC_BANK: Command.MAC,
    Macro.ACTIVATE: Command.AF,
    Macro.READ_ACCUMULATORS: Command.RDMAC,
    Macro.COPY_TO_BUFFER: Command.RDCP,
    Macro.COPY_FROM_BUFFER: Command.WRCP,
    Macro.READ: Command.RD,
    Macro.WRITE: Command.WR,
    Macro.SCATTER: Command.WR,
}
OF_ACCUMULATORS = {Macro.WRITE_ACCUMULATORS, Macro.READ_ACCUMULATORS}

# channels: a bit for each channel that does it. Where a row's columns end, `count` goes on in the next row.
MACRO = Record(
    "macro",
    (
        *(Field("operation", 8), Field("mode", 8)),
        *(Field("bank", 16), Field("channels", 32), Field("row", 32)),
        *(Field(name, 16) for name in ("column", "buffer")),
        Field("count", 32),
    ),
)


class PimError(enum.IntEnum):
    """What was wrong with a macro. It did nothing, and those behind it do nothing until the error is cleared; their data are dropped."""

    NONE = 0
    OPERATION = 1  # unknown, or a `mode` that there isn't
    CHANNELS = 2  # none, or one that there isn't
    BANK = 3
    ROW = 4  # or it goes on beyond the last one
    COLUMN = 5
    COUNT = 6  # zero
    BUFFER = 7  # or it goes on beyond the last column; of SCATTER, beyond a column's bytes
    MODE = 8  # a multiply-accumulate macro while the format is OFF
    NO_DATA = 9  # a channel's DRAM gave no data for a read: `error_channel`; what it should have given is undefined
