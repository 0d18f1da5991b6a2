"""DRAM whose banks multiply and add (PIM): its geometry, its timing, its commands, and presets of real ones.

A channel has its own command and data bus, and `banks` banks in groups. A bank has one row open at most; a column of it, `column_bytes`
bytes, is a burst on the data bus, and what its multiply-accumulators take at once. Each bank has one accumulator of 32 bits; each channel
a global buffer of `buffer_columns` columns, whose column the banks multiply with one of theirs.
"""

import enum
from dataclasses import asdict, dataclass, fields, replace

from .blocks import Circuit
from .checks import power_of_two, require
from .record import Field, Record

ACCUMULATOR_BYTES = 4
POSTPONED_REFRESHES = 8  # at most: a refresh is at most nine refresh intervals behind the one before


class Command(enum.IntEnum):
    """What a channel's command bus carries; AiM's names without the number of banks. A: in all banks at once."""

    NOP = 0
    ACT = 1  # open `row` of `bank`
    PRE = 2  # close `bank`
    PREA = 3
    RD = 4  # read `column` of `bank`: on the data bus `cl` cycles later
    WR = 5  # write `column` of `bank`: from the data bus `cwl` cycles later
    REF = 6  # refresh all banks, which are closed
    MRS = 7  # set the mode register to `row`: MODE
    ACTA = 8  # open `row` of all banks
    MACA = 9  # every bank: accumulator += `column` of its open row . column `buffer` of the global buffer
    MAC = 10  # the same in `bank` alone
    WRGB = 11  # write column `buffer` of the global buffer, as WR
    WRMAC = 12  # write the accumulators of the column_bytes / 4 banks from bank `column` * column_bytes / 4 on, as WR
    RDMAC = 13  # read them, as RD
    AF = 14  # every bank: accumulator = activation function of it
    RDCP = 15  # copy `column` of `bank` to column `buffer` of the global buffer
    WRCP = 16  # the reverse


COMMAND_BITS = max(Command).bit_length()

# Which mode each command needs: the data bus and the banks' arrays are the memory's, or the registers'. Others go in both.
IN_MEMORY_MODE = frozenset({Command.RD, Command.WR, Command.MACA, Command.MAC, Command.RDCP, Command.WRCP})
IN_REGISTER_MODE = frozenset({Command.WRGB, Command.WRMAC, Command.RDMAC, Command.AF})


class NumberFormat(enum.IntEnum):
    """Of what is multiplied, and of the sums."""

    OFF = 0  # an ordinary DRAM: no multiply-accumulate command is allowed
    INT8 = 1  # signed; sums of 32 bits that wrap around
    BF16 = 2  # sums in FP32 (sw/golden/pim.py)


class Function(enum.IntEnum):
    """Activation functions of AF."""

    NONE = 0
    RELU = 1


# The mode register: bits of the command's `row`.
MODE_REGISTERS = 1 << 0  # register mode, else memory mode; all zero after reset
MODE_FORMAT = 1  # lowest bit of the NumberFormat, of two
MODE_FUNCTION = 3  # of the Function


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Cycles of the command clock between commands (JEDEC's names); rcd_mac, rcd_rdcp, rcd_wrcp, mode and af are AiM's. At least 2, which
    is how long the controller takes to know of a command; but for what is added to others.

    rcd_*: ACT to RD, WR, MAC, RDCP, WRCP of the bank. rp: PRE to ACT. ras: ACT to PRE. rc: ACT to ACT of a bank. rrd_s, rrd_l: ACT to ACT
    of any bank, of one of the same group. faw: four ACTs to the fifth. ccd_s, ccd_l: a column command to the next, and in the same group;
    ccd_l for any two MACs. cl, cwl: RD, WR to the data. burst: of data, in cycles. wr: the end of a write's data to PRE. rtp: RD or MAC to
    PRE. wtr_s, wtr_l: the end of a write's data to RD. rfc: a refresh. refi: between two, on average. mode: MRS to any command. af: AF to
    the use of its results.
    """

    rcd_rd: int
    rcd_wr: int
    rcd_mac: int
    rcd_rdcp: int
    rcd_wrcp: int
    rp: int
    ras: int
    rc: int
    rrd_s: int
    rrd_l: int
    faw: int
    ccd_s: int
    ccd_l: int
    cl: int
    cwl: int
    burst: int
    wr: int
    rtp: int
    wtr_s: int
    wtr_l: int
    rfc: int
    refi: int
    mode: int
    af: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least, most = 1 if name in ("burst", "wtr_s", "wtr_l") else 2, (1 << (16 if name == "refi" else 10)) - 1
            require(type(value) is int and least <= value <= most, name, f"an integer in {least}..{most}", value)
        for short, long in ("ccd_s", "ccd_l"), ("rrd_s", "rrd_l"), ("wtr_s", "wtr_l"), ("burst", "ccd_s"):
            require(getattr(self, short) <= getattr(self, long), short, f"at most {long} ({getattr(self, long)})", getattr(self, short))

    @property
    def rtw(self) -> int:
        """RD to WR: the bus is free for two cycles between their data."""
        return max(self.ccd_s, self.cl + self.burst + 2 - self.cwl)

    @property
    def write_end(self) -> int:
        """WR to the end of its data."""
        return self.cwl + self.burst


@dataclass(frozen=True, kw_only=True)
class Dram:
    """A DRAM-PIM device.

    channels: with the same commands, at the same time or not. bank_groups, group_banks: groups of a channel, banks of a group.
    rows, columns: rows of a bank, columns of a row. column_bytes: of a burst. buffer_columns: of a channel's global buffer.
    timing: in cycles of the command clock, one command a cycle.
    """

    timing: Timing
    channels: int = 8
    bank_groups: int = 4
    group_banks: int = 4
    rows: int = 16384
    columns: int = 64
    column_bytes: int = 32
    buffer_columns: int = 64

    def __post_init__(self) -> None:
        limits = {
            "channels": (1, 32),
            "bank_groups": (1, 8),
            "group_banks": (1, 8),
            "rows": (2, 1 << 17),
            "columns": (2, 256),
            "column_bytes": (8, 64),
            "buffer_columns": (1, 256),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            good = type(value) is int and least <= value <= most and power_of_two(value)
            require(good, name, f"a power of two in {least}..{most}", value)
        least = self.column_bytes // ACCUMULATOR_BYTES
        require(self.banks >= least, "group_banks", f"enough for {least} banks, whose accumulators make a burst", self.group_banks)
        longest = self.timing.rcd_mac + self.columns * self.timing.ccd_l
        require(longest + self.timing.rfc < self.timing.refi, "refi", "longer than a row of MACs and a refresh", self.timing.refi)

    @property
    def banks(self) -> int:
        """Of a channel."""
        return self.bank_groups * self.group_banks

    @property
    def accumulator_columns(self) -> int:
        """Bursts that the accumulators of a channel's banks make."""
        return self.banks * ACCUMULATOR_BYTES // self.column_bytes

    @property
    def row_bytes(self) -> int:
        return self.columns * self.column_bytes

    @property
    def channel_bytes(self) -> int:
        return self.banks * self.rows * self.row_bytes

    def lanes(self, kind: NumberFormat) -> int:
        """Elements of a column: what a bank multiplies and adds at once."""
        return self.column_bytes // (2 if kind is NumberFormat.BF16 else 1)


def command_record(dram: Dram) -> Record:
    """A command on a channel's pins: of `row` for MRS its value."""
    numbers = {"bank": dram.banks, "row": max(dram.rows, 16), "column": dram.columns, "buffer": dram.buffer_columns}
    fields = (Field(name, (count - 1).bit_length()) for name, count in numbers.items())
    return Record("command", (Field("command", COMMAND_BITS), *fields))


class Preset(enum.Enum):
    """Of geometry and timing: PRESETS."""

    AIM = "aim"
    GDDR6 = "gddr6"
    HBM2 = "hbm2"


# In the order of Timing's fields.
_TIMINGS = {
    #        rcd_rd wr mac rdcp wrcp rp  ras rc rrd_s l faw ccd_s l cl cwl burst wr rtp wtr_s l rfc refi  mode af
    "aim": (36, 28, 56, 66, 48, 32, 54, 89, 11, 11, 42, 2, 2, 50, 6, 2, 33, 12, 9, 11, 210, 3333, 32, 30),
    "gddr6": (27, 16, 27, 27, 16, 27, 53, 79, 8, 8, 29, 2, 4, 24, 6, 2, 27, 4, 9, 11, 211, 3333, 32, 30),
    "hbm2": (12, 6, 12, 12, 6, 14, 28, 42, 4, 6, 16, 2, 3, 18, 7, 2, 14, 5, 4, 9, 220, 3900, 32, 30),
}


def _preset(name: str, **geometry: int) -> Dram:
    names = (field.name for field in fields(Timing))
    return Dram(timing=Timing(**dict(zip(names, _TIMINGS[name], strict=True))), **geometry)


# aim: SK hynix's GDDR6-AiM, as its open simulator has it; af is what that adds for reading a function's table to a MAC. gddr6: 14 Gb/s, as
# Ramulator has it. hbm2: a pseudo-channel at 2 Gb/s, as gem5's HBM_2000_4H_1x64 has it, its rc being ras + rp. The last two are of plain
# memories: their banks are given AiM's mode and af, and multiply as they read.
PRESETS = {
    "aim": _preset("aim"),
    "gddr6": _preset("gddr6"),
    "hbm2": _preset("hbm2", columns=32, buffer_columns=32),
}


@dataclass(frozen=True, kw_only=True)
class PimCircuit(Circuit):
    """A controller for a device of a preset, with other channels.

    preset: geometry and timing of aim (SK hynix's GDDR6-AiM), gddr6 or hbm2.
    channels: of the device, each with a command and a data bus of its own.
    """

    preset: Preset = Preset.AIM
    channels: int = 1

    def __post_init__(self) -> None:
        _ = self.dram  # which checks them

    @property
    def dram(self) -> Dram:
        return replace(PRESETS[self.preset.value], channels=self.channels)
